// Watchbill's console: keys, live rows, selection. Reading works without any of it.
(() => {
  "use strict";
  const $ = (query, root = document) => root.querySelector(query);
  const $$ = (query, root = document) => [...root.querySelectorAll(query)];
  const rows = () => $$("tr[data-row]");
  const current = () => $("tr.at");
  const say = (text) => { const said = $("#said"); if (said) said.textContent = text; };

  // Times: the browser knows the local zone, the server does not.
  const tell = (root) => $$("time[data-time], time[data-exact]", root).forEach((time) => {
    const moment = new Date(time.dateTime);
    const local = moment.toLocaleString(undefined, { timeZoneName: "short" });
    if (!time.title.includes("local")) time.title += `\n${local} (local)`;
  });
  const ago = () => $$("time[data-time]").forEach((time) => {
    const gap = (Date.now() - new Date(time.dateTime)) / 1000;
    if (gap < 0 || gap > 86400 * 45) return;
    const [size, word] = gap < 60 ? [1, "s"] : gap < 3600 ? [60, "min"] : gap < 86400 ? [3600, "h"] : [86400, "d"];
    time.textContent = gap < 5 ? "just now" : `${Math.floor(gap / size)} ${word} ago`;
  });
  const csrf = () => JSON.parse(document.body.getAttribute("hx-headers"));

  const toast = (text, undo) => {
    const box = document.createElement("div");
    box.className = "toast";
    const words = document.createElement("span");
    words.textContent = text;
    box.append(words);
    if (undo) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Undo";
      button.addEventListener("click", async () => { box.remove(); await undo(); });
      box.append(button);
    }
    $("#toasts").append(box);
    setTimeout(() => box.remove(), 9000);
  };
  const post = (url, values) => {
    const body = new URLSearchParams();
    for (const [key, value] of values) body.append(key, value);
    return fetch(url, { method: "POST", body, headers: { ...csrf(), "X-Console": "1" } });
  };

  // Rows
  const go = (step) => {
    const all = rows();
    if (!all.length) return;
    const from = all.indexOf(current());
    const to = all[Math.min(Math.max(from + step, 0), all.length - 1)];
    all.forEach((row) => row.classList.toggle("at", row === to));
    to.scrollIntoView({ block: "nearest" });
    const link = $("a[data-open]", to);
    if (link) link.focus({ preventScroll: true });
  };
  const picks = () => $$("tr[data-row] input[name=id]:checked");
  const picked = () => {
    const chosen = picks();
    const bulk = $("[data-bulk]");
    if (bulk) {
      bulk.hidden = !chosen.length;
      const count = $("[data-picked]", bulk);
      if (count) count.textContent = `${chosen.length} selected`;
    }
    rows().forEach((row) => row.setAttribute("aria-selected", String(!!$("input[name=id]:checked", row))));
  };
  const fetchRows = async () => {
    const answer = await fetch(location.href, { headers: { "HX-Request": "true", "HX-Target": "rows" } });
    if (!answer.ok) return null;
    return $("#rows", new DOMParser().parseFromString(await answer.text(), "text/html"));
  };
  const swap = async (given) => {
    const next = given ?? await fetchRows();
    const list = $("#rows");
    if (!list || !next) return;
    const kept = new Set(picks().map((box) => box.value));
    const at = current()?.dataset.row;
    const before = new Map(rows().map((row) => [row.dataset.row, row.dataset.version]));
    list.replaceWith(document.adoptNode(next));
    rows().forEach((row) => {
      if (before.get(row.dataset.row) !== row.dataset.version) row.classList.add("fresh");
      const box = $("input[name=id]", row);
      if (box && kept.has(row.dataset.row)) box.checked = true;
      if (row.dataset.row === at) row.classList.add("at");
    });
    const waiting = $("#waiting");
    if (waiting) waiting.hidden = true;
    if (window.htmx) window.htmx.process($("#rows"));
    tell($("#rows"));
    picked();
  };
  const acknowledge = async () => {
    const list = $("[data-acknowledge]");
    if (!list) { $("form[data-key=a]")?.requestSubmit(); return; }
    const ids = picks().map((box) => box.value);
    if (!ids.length && current()) ids.push(current().dataset.row);
    if (!ids.length) return;
    const answer = await post(list.dataset.acknowledge, ids.map((id) => ["id", id]));
    const told = answer.ok ? await answer.json() : null;
    if (!told) { toast("Not acknowledged: the server refused. Load the page again."); return; }
    picks().forEach((box) => { box.checked = false; });
    await swap();
    toast(told.said, told.ids.length ? async () => { await post(list.dataset.undo, told.ids.map((id) => ["id", id])); await swap(); } : null);
    say(told.said);
  };

  // Keys
  let leader = 0;
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (event.key === "Escape" && typing) { typing.blur(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    const key = event.key;
    if (Date.now() - leader < 1200) {
      leader = 0;
      const link = $(`a[data-go="${CSS.escape(key)}"]`);
      if (link) { event.preventDefault(); location.assign(link.href); }
      return;
    }
    const moves = { j: () => go(1), k: () => go(-1) };
    const deeds = {
      ...moves,
      g: () => { leader = Date.now(); },
      "/": () => ($("[data-search]") ?? $("input[type=search]"))?.focus(),
      "?": () => $("#help")?.showModal(),
      a: acknowledge,
      x: () => { const box = current() && $("input[name=id]", current()); if (box) { box.checked = !box.checked; picked(); } },
      r: () => {
        const field = $("[data-resolve]");
        if (field) { field.closest("details")?.setAttribute("open", ""); field.focus(); return; }
        const link = current() && $("a[data-open]", current());
        if (link) location.assign(`${link.href}#resolve`);
      },
      Enter: () => {
        if (event.target.closest("a, button, summary")) return false;
        const link = current() && $("a[data-open]", current());
        if (!link) return false;
        location.assign(link.href);
      },
    };
    if (deeds[key] && deeds[key]() !== false) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-help]")) $("#help")?.showModal();
    if (event.target.closest("#waiting")) swap();
    const copy = event.target.closest("[data-copy]");
    if (copy) navigator.clipboard?.writeText(copy.dataset.copy).then(() => toast("Copied"));
    if (event.target.closest("[data-print]")) window.print();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) $$("tr[data-row] input[name=id]").forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches("input[name=id], [data-all]")) picked();
    if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) event.preventDefault();
    else if (form.matches("[data-bulk]") && event.submitter?.value === "acknowledge") { event.preventDefault(); acknowledge(); }
    else if (form.method === "get") $$("input, select", form).forEach((field) => { if (!field.value) field.disabled = true; });
  });
  window.addEventListener("pageshow", () => $$("form[method=get] [disabled]").forEach((field) => { field.disabled = false; }));

  // Live: the server says what changed, the page decides what that means for it.
  const live = document.body.dataset.live;
  if (live && window.EventSource) {
    let shown = $("[data-mark]")?.dataset.mark;  // what the page was made at
    let now = null;
    let asking = false;
    const refresh = async () => {
      if (asking || String(now.mark) === shown) return;
      shown = String(now.mark);
      const stale = $("[data-live-page]");
      if (stale) stale.hidden = false;
      if (!$("#rows[data-live-rows]")) return;
      asking = true;
      const next = await fetchRows().catch(() => null);
      asking = false;
      if (!next) { shown = null; return; }  // asked again with the next word of the server
      const here = new Set(rows().map((row) => row.dataset.row));
      const news = $$("tr[data-row]", next).filter((row) => !here.has(row.dataset.row)).length;
      // Rows that somebody is at work on do not move under their hands: then it says how many wait.
      const busy = picks().length || current() || window.scrollY > 300;
      const waiting = $("#waiting");
      if (busy && news && waiting) {
        waiting.textContent = `${news} new: show`;
        waiting.hidden = false;
      } else await swap(next);
      if (news) say(`${news} new alerts, ${now.unresolved} unresolved`);
      await refresh();  // what changed while this was fetched
    };
    const stream = new EventSource(live);
    stream.addEventListener("alerts", (event) => {
      now = JSON.parse(event.data);
      $$("[data-count=unresolved]").forEach((place) => { place.textContent = now.unresolved || ""; });
      refresh();
    });
    stream.addEventListener("signed-out", () => { stream.close(); location.reload(); });
    window.addEventListener("pagehide", () => stream.close());
    window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  // On a small screen the filters start folded; without this script they are simply open.
  if (matchMedia("(max-width: 68rem)").matches) $$("[data-fold]").forEach((part) => part.removeAttribute("open"));
  // Opened before htmx was there, by a quick hand or by the browser going back: its toggle went by unheard.
  document.addEventListener("htmx:load", (event) => $$("details[open][hx-trigger~=toggle]", event.target).forEach((part) => window.htmx.trigger(part, "toggle")));
  document.addEventListener("htmx:sendError", () => toast("The server could not be reached. Load the page again."));
  document.addEventListener("htmx:afterSettle", (event) => tell(event.target));
  document.addEventListener("htmx:responseError", () => toast("The server could not answer that. Load the page again."));
  if (location.hash === "#resolve") { const field = $("[data-resolve]"); field?.closest("details")?.setAttribute("open", ""); field?.focus(); }
  tell(document);
  picked();
  setInterval(ago, 15000);
})();
