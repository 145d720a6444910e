"""Patterns of secrets: how keys, tokens and passwords are written in the files of a project."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

LIBRARY = {
    "AWSKeyDetector": "an AWS key",
    "AzureStorageKeyDetector": "a key of Azure",
    "DiscordBotTokenDetector": "a token of Discord",
    "GitHubTokenDetector": "a token of GitHub",
    "GitLabTokenDetector": "a token of GitLab",
    "JwtTokenDetector": "a JSON web token",
    "PrivateKeyDetector": "a private key",
    "PypiTokenDetector": "a token of PyPI",
    "SendGridDetector": "a key of SendGrid",
    "SlackDetector": "a token of Slack",
    "SquareOAuthDetector": "a key of Square",
    "StripeDetector": "a key of Stripe",
    "TelegramBotTokenDetector": "a token of Telegram",
    "TwilioKeyDetector": "a key of Twilio",
}
"""Detectors of detect-secrets that are used. Those that guess (entropy, keywords, IBM, Artifactory, IP) take hashes and
words for secrets; those of npm, OpenAI and Mailchimp are slow on long lines; that of URLs knows no `!`."""
FIXED_LENGTH = ("AWSKeyDetector", "DiscordBotTokenDetector", "TelegramBotTokenDetector", "TwilioKeyDetector")

W_AND_B, AWS, AZURE, NETRC = "a key of W&B", "an AWS key", "a key of Azure", "a password of a netrc file"
WRITTEN = {
    # kind of secret -> its spellings; the first that fits names a line
    W_AND_B: (r"wandb_v\d+_(?=\w*\d)\w{30,}",),
    "a token of GitHub": (r"(?:github_pat|gh[pousr])_\w{22,}",),
    "a token of GitLab": (r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct|oas)-[\w.-]{20,}",),
    "a token of Hugging Face": (r"hf_[A-Za-z0-9]{30,}", r"api_org_[A-Za-z0-9]{30,}"),
    "a key of Anthropic": (r"sk-ant-[\w-]{20,}",),
    "a key of OpenAI": (r"sk-(?:proj|svcacct|admin|None|or)-[\w-]{20,}", r"sk-[A-Za-z0-9]{40,}"),
    "a key of Groq": (r"gsk_[A-Za-z0-9]{40,}",),
    "a token of Replicate": (r"r8_[A-Za-z0-9]{35,}",),
    "a key of Google": (r"AIza[\w-]{35}(?![\w-])", r"GOCSPX-[\w-]{20,}", r"ya29\.[\w-]{30,}"),
    "a token of Slack": (r"xox[a-z](?:\.xox[a-z])?-[\w%-]{20,}", r"xapp-\d-[\w-]{20,}"),
    "a token of PyPI": (r"pypi-Ag[\w-]{50,}",),
    "a token of npm": (
        r"npm_[A-Za-z0-9]{36}(?!\w)",
        r":_(?:auth|authToken|password)\s{0,3}=\s{0,3}(?P<value>[\w+/=.-]{20,})",
    ),
    "a token of Docker": (r"dckr_[a-z]{3}_[\w-]{20,}", r"\"auth\"\s*:\s*\"(?P<value>[A-Za-z0-9+/]{16,}={0,2})\""),
    "a token of DigitalOcean": (r"do[opr]_v1_[0-9a-f]{64}",),
    "a token of Databricks": (r"dapi[0-9a-f]{32}(?!\w)",),
    "a key of Kaggle": (r"KGAT_\w{30,}",),
    AZURE: (r"[?&]sig=(?P<value>[A-Za-z0-9%/+]{40,})", r"8Q~(?<=[\w~.]{3}8Q~)(?P<value>[\w~.-]{31,34})(?![\w~.-])"),
    "a token of Vault": (r"hvs\.[\w-]{24,}",),
    "a key of NVIDIA": (r"nvapi-[\w-]{40,}",),
    "a key of RunPod": (r"rpa_[A-Za-z0-9]{40,}",),
    "a hook of Discord": (r"discord(?:app)?\.com/api/webhooks/\d+/(?P<value>[\w-]{60,})",),
    "a private key": (r"BEGIN ENCRYPTED PRIVATE[ ]KEY", r"PuTTY-User-Key-File-\d", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    "a password in a URL": (r"://[^\s/?#@:\"'`]{0,80}:(?P<value>[^\s/?#@\"'`]{1,120})@(?!sha\d)[\w\[{<$]",),
    "a password of a variable": (r"PASSWORD=[\"']?(?P<value>[\w!@#%^&*.+~-]{8,})(?=[\"']?(?:\s|$))",),
    "a token in a URL": (r"https?://(?P<value>[\w-]{30,})@\w",),
}
SECRET_NAME = (
    r"(?:api|secret|access|auth|client|account|storage|private|refresh)[_-]?(?:access[_-]?)?(?:key|token|secret)"
)
NETRC_VALUE = r"(?P<value>[^\s\"'`]{4,})"
NETRC_USER = r"(?:\s+(?:login|user|account)\s+\S+){1,2}"
NAMED = {
    # the same, beside words in any case: these are spelled and searched for in lower case
    W_AND_B: (r"machine\s+\S*wandb\S*(?:" + NETRC_USER + r")?\s+password\s+[\"']?" + NETRC_VALUE,),
    NETRC: (
        r"machine\s+(?:\S+" + NETRC_USER + r"|[\w-]+(?:\.[\w-]+)+)\s+password\s+[\"']?" + NETRC_VALUE,
        r"default\s+login\s+\S+\s+password\s+[\"']?" + NETRC_VALUE,
    ),
    AWS: (
        r"secret[_-]?access[_-]?key\W{1,6}(?P<value>[a-z0-9/+]{40})(?![a-z0-9/+=])",
        r"aws_?session_?token\W{1,6}(?P<value>[a-z0-9/+=]{60,})",
    ),
    AZURE: (
        r"(?:account|storage|access)_?key\W{1,6}(?P<value>[a-z0-9+/]{86}==)",
        r"sharedaccesskey=(?P<value>[a-z0-9+/]{43}=)",
    ),
    "a key of Kaggle": (r"\"username\"\s*:\s*\"[^\"\n]{1,80}\"\s*,\s*\"key\"\s*:\s*\"(?P<value>[0-9a-f]{32})\"",),
    "a password of a command": (
        r"--(?:[a-z]{1,8}-)?password[=\s]\s{0,3}[\"']?(?P<value>[\w!@#%^&*.+~-]{6,})(?=[\"']?(?:\s|$))",
        r"\bcurl\s[^\n]{0,200}?(?:-u|--user)[=\s]\s{0,3}[\"']?(?!api:)[\w.@-]{1,80}:(?P<value>[^\s\"'$]{6,})",
        r"\bmc\s+alias\s+set\s+\S+\s+\S+\s+\S+\s+(?P<value>[^\s$<]{8,})",
    ),
    "a token in a URL": (r"[?&][\w.-]{0,40}(?:token|secret|signature|password|api_?key)=(?P<value>[\w.~+/%-]{20,}=*)",),
    "a token of a header": (r"authorization\W{1,6}(?:bearer|basic|token)\s+(?P<value>[\w.~+/=-]{20,})",),
}
TOKEN = r"(?P<value>[\w-]{40,})"
HEX = r"(?P<value>(?<![0-9a-z])[0-9a-f]{40})(?![0-9a-z])"
GUESSED = {
    # the same, of values that must also look random, without a word for a hash before them
    W_AND_B: (
        r"wandb(?:_?api_?key|[.\s]+login)\b(?:[^\n]|[\\`]\r?\n){0,100}?(?<![\w-])" + TOKEN,
        r"wandb_?api_?key\W{1,40}value\W{1,6}" + TOKEN,
        r"(?:wandb|w&b)[^\n]{0,80}\n(?:[^\n]{0,120}\n){0,4}?[^\n]{0,80}?\b(?:api_?)?key\W{1,6}" + TOKEN,
        r"(?:echo|printf)[^\n]{0,20}?\s[\"']?" + TOKEN + r"[^\n|]{0,10}\|[^\n]{0,40}?wandb\s+login",
        r"(?:wandb|w&b|weights\W{0,3}(?:and|&)?\W{0,3}biases|login\b|api[ _-]?key)[^\n]{0,80}?" + HEX,
        r"=(?<!rev=)(?<!rev =)\s{0,3}[\"']?" + HEX + r"[\"',;]{0,2}\s{0,9}(?:#|//)[^\n]{0,60}wandb",
        r"(?:api|user):" + HEX + r"[^\n]{0,80}wandb",
        r"key(?<![a-z]key)[\"']?\s*[:=]\s*[\"']?" + HEX + r"(?:[^\n]{0,120}\n){1,7}?[^\n]{0,120}?wandb",
    ),
    "a key or a password": (
        r"(?:" + SECRET_NAME + r"|password|passwd|kaggle_key)[\"'\]]{0,3}\s{0,3}[:=]\s{0,3}[\"']?"
        r"(?P<value>[\w+/=-]{20,})(?=[\"'\s,;}]|$)",
        r"(?:token|secret)[\"'\]]{0,3}\s{0,3}[:=]\s{0,3}[\"']?(?P<value>[\w+/=-]{20,})(?=[\"'\s,;)}]|$)",
    ),
}
HASH_WORD = re.compile(
    r"\b(?:git|commit|sha\d*|rev|revision|hash|digest|checksum|md5|tree|blob|oid|ref|etag)\b|_(?:sha|hash|commit)|[@/]$"
)
RANDOM = re.compile(r"(?:\w+-)?[0-9a-f]{32,}|(?=.*[a-z])(?=.*[A-Z])(?=.*\d).{20,}")
PLACEHOLDER = re.compile(
    r"[<{].*|\$[({A-Za-z_].*|%[({A-Za-z_].*|[A-Z]+(?:_[A-Z]+)*|(?i:pass|passwd|password|pw|pwd|secret|token|key)"
    r"|(?i:.*(?:\.\.\.|\*\*\*|xxxx|your|example|placeholder|changeme|redacted).*)|.*(.)\1{7}.*"
)
NETRC_PASSWORD = re.compile(r"\bpassword\s+(\S+)")
"""Passwords of the user's own netrc file."""


@dataclass(frozen=True)
class SecretPattern:
    """Spelling of one kind of secret.

    A group `value` is the secret itself; without one it is the whole match, which then begins at a border of words.
    """

    what: str
    pattern: re.Pattern[str]
    is_lower: bool = False
    is_guess: bool = False
    has_fixed_length: bool = False
    detector: "RegexBasedDetector | None" = None

    def find(self, text: str, lower: str) -> Iterator[int]:
        """Yield the positions of the secrets of this kind in a text, which is also given in lower case."""
        for match in self.pattern.finditer(lower if self.is_lower else text):
            start, end = match.span("value" if "value" in self.pattern.groupindex else 0)
            if self._is_secret(match, text[start:end]) and self._has_borders(text, start, end):
                yield start

    def _is_secret(self, match: re.Match[str], value: str) -> bool:
        if not value.isascii() or PLACEHOLDER.fullmatch(value):
            return False
        if self.is_guess:
            before = match.string[match.start() : match.start("value")]
            return RANDOM.fullmatch(value) is not None and HASH_WORD.search(before) is None
        return self.detector is None or any(self.detector.analyze_string(value))

    def _has_borders(self, text: str, start: int, end: int) -> bool:
        if self.has_fixed_length and re.match(r"[\w+/-]", text[end : end + 1]):
            return False
        return "value" in self.pattern.groupindex or not re.match(r"[A-Za-z0-9+]", text[max(start - 1, 0) : start])


@cache
def load_patterns() -> tuple[SecretPattern, ...]:
    """Return what is searched for, the surest first."""
    return (
        *_compile(WRITTEN),
        *_compile(NAMED, is_lower=True),
        *_load_library(),
        *_compile(GUESSED, is_lower=True, is_guess=True),
    )


def _compile(
    spellings: Mapping[str, tuple[str, ...]], *, is_lower: bool = False, is_guess: bool = False
) -> Iterator[SecretPattern]:
    for what, all_of_them in spellings.items():
        for one in all_of_them:
            yield SecretPattern(what, re.compile(one), is_lower=is_lower, is_guess=is_guess)


def _load_library() -> Iterator[SecretPattern]:
    from detect_secrets.settings import get_plugins, transient_settings  # takes a while, and only a job needs it

    with transient_settings({"plugins_used": [{"name": name} for name in LIBRARY]}):
        for detector in get_plugins():
            name = type(detector).__name__
            for pattern in detector.denylist:
                yield SecretPattern(LIBRARY[name], pattern, has_fixed_length=name in FIXED_LENGTH, detector=detector)
