"""Real logs of all kinds through all of SigmaHQ's rules and our own: the engine finds what the oracle finds.

This is a sample, always the same; ``make agreement`` compares every record.
"""

from agreement import Agreement, sampled
from corpora import SETS, files, read

#: One record in so many: events of Windows cost the oracle most, and there are most of them.
SHARE = {
    "beats_filebeat": 41, "crowdsec_hub_tests": 29, "evtx_to_mitre": 499, "loghub": 41, "ocsf_examples": 41,
    "otrf_security_datasets": 401, "sigma/regression": 29, "wazuh_tests/tests": 13, "zeek_wrccdc": 211,
}  # fmt: skip
SMALL = 7


def test_engine_and_oracle_agree(shared_data):
    """Event by event and rule by rule, as events and (where the parser has a shape) as raw records."""
    agreement = Agreement(shared_data)
    differing = [
        difference
        for data_set, source in files(shared_data)
        for difference in agreement.differences(
            sampled(read(shared_data, data_set, source), SHARE.get(data_set, SMALL))
        )
    ]
    assert differing == []
    # A sample that matches nothing would agree with anything.
    assert {data_set for data_set, _ in agreement.compared} == set(SETS)
    assert sum(count for (_, path), count in agreement.compared.items() if path == "raw") > 150
    assert len(agreement.matched) > 60
