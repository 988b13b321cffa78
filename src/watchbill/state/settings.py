"""Django's settings, made from the data folder (WATCHBILL_DATA) and its configuration. Nothing is written but the
secret key, once. Reference: https://docs.djangoproject.com/en/5.2/ref/settings/
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONCE, NONE, SELF

from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.state import databases
from watchbill.state.secrets import secret_key

DATA = DataDir.default()
CONFIG = Config.load(DATA)
_CONSOLE = CONFIG.console
_TLS = bool(_CONSOLE.tls_certificate) or _CONSOLE.behind_tls_proxy
# Cookies know no ports: installations side by side on one host must not share theirs.
_INSTALLATION = hashlib.sha256(str(DATA.root).encode()).hexdigest()[:8]

DEBUG = False
SECRET_KEY = secret_key(DATA.secret_key)
ALLOWED_HOSTS = [
    *dict.fromkeys(
        name
        for name in (
            "localhost", "127.0.0.1", "[::1]", _CONSOLE.host, urlsplit(_CONSOLE.url).hostname, *_CONSOLE.allowed_hosts,
        )
        if name and name not in {"0.0.0.0", "::"}  # noqa: S104 (these say where to listen, not what we are called)
    )
]  # fmt: skip
ROOT_URLCONF = "watchbill.web.urls"
ASGI_APPLICATION = "watchbill.web.asgi.application"

STATE_APPS = (
    "watchbill.state.trail",
    "watchbill.state.accounts",
    "watchbill.state.assets",
    "watchbill.state.readers",
    "watchbill.state.receivers",
    "watchbill.state.coverage",
    "watchbill.state.alerts",
    "watchbill.state.controls",
    "watchbill.state.retention",
    "watchbill.state.copies",
)
INSTALLED_APPS = [
    "watchbill.web",  # first: its templates take the place of allauth's
    *STATE_APPS,
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_htmx",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "watchbill.state.accounts.idle.extend_session",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "watchbill.web.context.page",
            ],
        },
    },
]

DATABASES = {"default": databases.postgresql(CONFIG.database) if CONFIG.database else databases.sqlite(DATA.database)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# One web process: what must outlive it stands in the database.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 20_000}}}

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
FORMAT_MODULE_PATH: list[str] = []

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 3600

# Accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
_VALIDATION = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"{_VALIDATION}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_VALIDATION}.CommonPasswordValidator"},
    {"NAME": f"{_VALIDATION}.NumericPasswordValidator"},
    {"NAME": f"{_VALIDATION}.UserAttributeSimilarityValidator", "OPTIONS": {"user_attributes": ("email", "name")}},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "watchbill.state.accounts.sign_in.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # addresses are given by an administrator, not claimed by strangers
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "change_password": "5/m/user",
    "reauthenticate": "10/m/user",
    "reset_password": "5/m/ip,3/m/key",
    "reset_password_from_key": "5/m/ip",
}
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if _CONSOLE.behind_tls_proxy else 0
MFA_ADAPTER = "watchbill.state.accounts.sign_in.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Watchbill"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = _CONSOLE.is_local and not _TLS
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"  # people are notified by channels, not by Django

# Sessions, cookies, headers
SESSION_COOKIE_NAME = f"watchbill_{_INSTALLATION}"
SESSION_COOKIE_AGE = 12 * 3600  # of idleness: accounts.idle extends it
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"  # a link in a notification has to find its reader signed in
SESSION_COOKIE_SECURE = _TLS
CSRF_COOKIE_NAME = f"watchbill_csrf_{_INSTALLATION}"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SECURE = _TLS
CSRF_FAILURE_VIEW = "watchbill.web.views.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = [_CONSOLE.base_url.rstrip("/")] if _CONSOLE.base_url else []
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _CONSOLE.behind_tls_proxy else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _TLS else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "watchbill.state.redaction.Redact"}},
    "formatters": {
        "line": {
            "()": "watchbill.state.redaction.RedactingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redact"]}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
    },
}
