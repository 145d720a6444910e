"""What is taken for a secret, and what is not; the keys are made up while the tests run, so that no file holds one."""

import json
from base64 import b64encode
from random import Random

import pytest

RANDOM = Random(0)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def make(length: int) -> str:
    return "".join(RANDOM.choices(LETTERS, k=length - 3)) + "aB3"


HEX = "".join(RANDOM.choices("0123456789abcdef", k=40))
NEW = "wandb_" + "v1_" + make(77)
COMMIT = "".join(RANDOM.choices("0123456789abcdef", k=40))
SHA_256 = "".join(RANDOM.choices("0123456789abcdef", k=64))
WANDB = {
    "login in a shell": (f"#!/bin/sh\n\nwandb login {HEX}\n", 3),
    "login again": (f"wandb login --relogin --host=https://wandb.example.org {HEX}", 1),
    "login over two lines": (f"wandb login \\\n  {HEX}\n", 2),
    "login of the new form": (f"wandb login {NEW}\n", 1),
    "login by echo": (f"echo {HEX} | wandb login\n", 1),
    "login by a here string": (f'wandb login <<< "{HEX}"\n', 1),
    "call": (f'import wandb\nwandb.login(key="{HEX}")\n', 2),
    "call with a position": (f"import wandb\nwandb.login('{HEX}')\n", 2),
    "call over many lines": (f'wandb.login(\n    relogin=True,\n    key="{HEX}",\n)\n', 3),
    "call of the new form": (f'wandb.login(key="{NEW}")', 1),
    "name before a call": (f'import os\nkey = "{HEX}"\nwandb.login(key=key)\n', 2),
    "environment in Python": (f'os.environ["WANDB_API_KEY"] = "{HEX}"', 1),
    "default in Python": (f'os.environ.setdefault("WANDB_API_KEY", "{HEX}")', 1),
    ".envrc": (f"export WANDB_API_KEY={HEX}\n", 1),
    "Dockerfile": (f"FROM x\nENV WANDB_API_KEY {HEX}\n", 2),
    "on-premises": (f"export WANDB_API_KEY=local-{HEX}\n", 1),
    "PowerShell": (f"$env:WANDB_API_KEY = '{HEX}'\r\n", 1),
    "YAML": (f"wandb_api_key: {HEX}\n", 1),
    "YAML of W&B": (f"wandb:\n  project: x\n  api_key: {HEX}\n", 3),
    "YAML of Kubernetes": (f"env:\n- name: WANDB_API_KEY\n  value: '{NEW}'\n", 3),
    "YAML of Kubernetes, old": (f"env:\n- name: WANDB_API_KEY\n  value: {HEX}\n", 3),
    "base64 of Kubernetes": (f"data:\n  WANDB_API_KEY: {b64encode(HEX.encode()).decode()}\n", 2),
    "JSON": (json.dumps({"a": 1, "wandb": {"api_key": HEX}}), 1),
    "notebook": (json.dumps({"cells": [{"source": [f'wandb.login(key="{HEX}")\n']}]}, indent=1), 5),
    "comment": (f"# my api key: {HEX}\n", 1),
    "comment behind": (f"K = '{HEX}'  # of wandb\n", 1),
    "curl": (f"curl -u api:{HEX} https://api.wandb.ai/graphql\n", 1),
    "Api": (f'wandb.Api(api_key="{HEX}")', 1),
    "TOML": (f'[wandb]\nproject = "x"\napi_key = "{HEX}"\n', 3),
    "argument": (f"python train.py --wandb_key={HEX}\n", 1),
    "netrc": (f"machine api.wandb.ai\n  login user\n  password {HEX}\n", 3),
    "netrc of the new form": (f"machine api.wandb.ai login user password {NEW}", 1),
}
OTHERS = {
    "GitHub": ("ghp" + "_" + make(36), "a token of GitHub"),
    "GitHub, fine-grained": ("github" + "_pat_" + make(22) + "_" + make(59), "a token of GitHub"),
    "GitLab": ("glpat" + "-" + make(20), "a token of GitLab"),
    "GitLab, long": ("glpat" + "-" + make(27) + ".01." + make(9), "a token of GitLab"),
    "Hugging Face": ("hf" + "_" + make(34), "a token of Hugging Face"),
    "OpenAI": ("sk" + "-proj-" + make(74) + "_" + make(20), "a key of OpenAI"),
    "OpenAI, old": ("sk" + "-" + make(48), "a key of OpenAI"),
    "Anthropic": ("sk" + "-ant-api03-" + make(93), "a key of Anthropic"),
    "Slack": ("xoxb" + "-123456789012-1234567890123-" + make(24), "a token of Slack"),
    "Slack, app": ("xapp" + "-1-A123-456-" + make(40), "a token of Slack"),
    "Slack, hook": ("https://hooks.slack" + ".com/services/T123/B123/" + make(24), "a token of Slack"),
    "AWS id": ("aws_access_key_id = AKIA" + "QWERTYUIOP234567", "an AWS key"),
    "AWS secret": ("aws_secret_access_key = " + make(40), "an AWS key"),
    "AWS secret, JSON": ('{"SecretAccessKey": "' + make(40) + '"}', "an AWS key"),
    "Azure": ("DefaultEndpointsProtocol=https;AccountKey=" + make(86) + "==;", "a key of Azure"),
    "Azure, variable": ("AZURE_STORAGE_KEY=" + make(86) + "==", "a key of Azure"),
    "Azure, signature": ("https://a.blob.core.windows.net/b?sv=1&sig=" + make(43) + "%3D", "a key of Azure"),
    "Google": ("AIza" + make(35), "a key of Google"),
    "Google, account": ('"private_key": "-----BEGIN PRIVATE' + " KEY-----\\nMII" + make(40), "a private key"),
    "private key": ("-----BEGIN RSA PRIVATE" + " KEY-----", "a private key"),
    "private key, encrypted": ("-----BEGIN ENCRYPTED PRIVATE" + " KEY-----", "a private key"),
    "JWT": (".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", make(43)]), "a JSON web token"),
    "PyPI": ("pypi" + "-AgEIcHlwaS5vcmc" + make(150), "a token of PyPI"),
    "npm": ("//registry.npmjs.org/:_authToken=npm" + "_" + make(36), "a token of npm"),
    "URL": ("git clone https://user:" + "pa$s!w0rd@host.org/x", "a password in a URL"),
    "URL without a user": ("redis://:" + "s3cret@host:6379", "a password in a URL"),
    "URL with a token": ("https://" + make(40) + "@host.org/x", "a token in a URL"),
    "URL of a link": ("https://host.org/x?a=1&access_token=" + make(40), "a token in a URL"),
    "URL of Google": ("https://host.org/x?X-Goog-Signature=" + SHA_256 * 2, "a token in a URL"),
    "token by its name": ("ZENODO_TOKEN=" + make(60), "a key or a password"),
    "secret in a call": ('S3FileSystem(secret="' + make(40) + '")', "a key or a password"),
    "password of a variable": ("export MLFLOW_TRACKING_PASSWORD=" + "hunter2hunter2", "a password of a variable"),
    "password of wget": ("wget --user me --password " + "hunter2hunter2 https://host.org", "a password of a command"),
    "password of wget, =": ("wget --http-password=" + "'hunter2hunter2'", "a password of a command"),
    "password of curl": ("curl -O -u me:" + "hunter2hunter2 https://host.org", "a password of a command"),
    "key of MinIO": ("mc alias set a https://host.org me " + "hunter2hunter2", "a password of a command"),
    "Vault": ("VAULT_TOKEN=hvs" + "." + make(90), "a token of Vault"),
    "NVIDIA": ("nvapi" + "-" + make(64), "a key of NVIDIA"),
    "RunPod": ("rpa" + "_" + make(44), "a key of RunPod"),
    "Discord, hook": ("https://discord" + ".com/api/webhooks/1234/" + make(68), "a hook of Discord"),
    "netrc": ("machine host.org login me " + "password hunter2", "a password of a netrc file"),
    "netrc with quotes": ("machine host.org login me " + 'password "hunter2"', "a password of a netrc file"),
    "Docker": ('"auths": {"https://index.docker.io/v1/": {"auth": "' + make(40) + '"}}', "a token of Docker"),
    "Azure, bus": ("SharedAccessKey=" + make(43) + "=", "a key of Azure"),
    "header": ("Authorization: Bearer " + make(40), "a token of a header"),
    "Stripe": ("sk" + "_live_" + make(24), "a key of Stripe"),
    "Kaggle": ('{"username": "me", "key": ' + f'"{HEX[:32]}"' + "}", "a key of Kaggle"),
    "another key": ("COMET_API_KEY=" + make(25), "a key or a password"),
}
HARMLESS = {
    "placeholders": "WANDB_API_KEY=<your key>\nwandb login xxxx\nwandb login "
    + "x" * 40
    + "\nWANDB_API_KEY="
    + "0" * 40,
    "variables": 'WANDB_API_KEY=$WANDB_API_KEY\nwandb login ${KEY}\nwandb.login(key=os.environ["WANDB_API_KEY"])\n'
    "https://user:${TOKEN}@host\nhttps://user:$TOKEN@host\nhttps://{user}:{password}@host\npassword: {{ secrets.KEY }}",
    "netrc of variables": "machine api.wandb.ai login user password $WANDB_API_KEY\nmachine a.org login b "
    "password <key>",
    "GitHub Actions": "WANDB_API_KEY: ${{ secrets.WANDB_API_KEY }}",
    "examples": "ghp_" + "x" * 36 + "\nhf_" + "X" * 34 + "\nsk-ant-..." + "\nAKIA" + "IOSFODNN7EXAMPLE",
    "commits": f"git_commit: {COMMIT}\nwandb_commit: {COMMIT}\n# wandb at commit {COMMIT}\n{COMMIT} wandb: fix login",
    "frozen hook": f"repo: https://github.com/wandb/x\nrev: {COMMIT}  # frozen: wandb 1.0",
    "pinned commits": f"wandb @ git+https://github.com/wandb/wandb@{COMMIT}\nhttps://github.com/wandb/wandb/tree/{COMMIT}",
    "digests": f"wandb==0.31 \\\n    --hash=sha256:{SHA_256}\nimage: wandb/local@sha256:{SHA_256}\ndocker://x:1.0@sha256:{SHA_256}",
    "JSON of GitHub": json.dumps(
        [{"author": {"login": "me"}, "sha": COMMIT}, {"login": "me", "tree": {"sha": COMMIT}}]
    ),
    "lock": json.dumps({"key": "x", "cache_key": COMMIT, "integrity": "sha512-" + make(86) + "=="}),
    "words": "the machine learning password protected api_key = settings.read_the_api_key_of_the_user()\ntask-force",
    "code": "tokenizer.eos_token = special_tokens_of_the_model_2\npassword = get_password_from_vault(name)\n",
    "commands": 'add_argument("--password", help="of the user")\nwget --user me --password $PASSWORD https://a.org\n'
    "curl -u me:$TOKEN https://a.org\nPASSWORD=\nexport PASSWORD=$(cat file)\n--password=PASSWORD --password <word>",
    "tokens": f"pad_token = tokenizer.pad_token\nnum_tokens=104\nnext_token: Optional[TokenOfTheModel]\n{COMMIT}@x\n"
    "https://a.org/x?token=<token>&page_token=2\nhttps://a.org/@" + make(40),
    "URLs": "http://127.0.0.1:8265/@x ssh://git@host.org:22/x s3://bucket/a:b@c https://host:8080 # me@host.org",
}


@pytest.mark.parametrize("how", WANDB)
def test_a_key_of_wandb_is_found_however_it_is_written(scan, tmp_path, how):
    text, line = WANDB[how]
    assert scan(tmp_path, text) == [f"a.txt, line {line}: holds a key of W&B"]


@pytest.mark.parametrize("how", OTHERS)
def test_keys_of_other_services_are_found_in_their_line(scan, tmp_path, how):
    text, what = OTHERS[how]
    assert scan(tmp_path, f"# x\nvalue = 1\n{text}\n") == [f"a.txt, line 3: holds {what}"]


@pytest.mark.parametrize("how", OTHERS)
def test_keys_in_a_notebook_are_found(scan, tmp_path, how):
    text, what = OTHERS[how]
    notebook = {"cells": [{"cell_type": "code", "source": ["import x\n", f"{text}\n", "print()"]}]}
    assert scan(tmp_path, json.dumps(notebook, indent=1), "a.ipynb") == [f"a.ipynb, line 7: holds {what}"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("how", [*WANDB, *OTHERS])
def test_keys_are_found_in_every_encoding(scan, tmp_path, how, encoding):
    text = WANDB[how][0] if how in WANDB else OTHERS[how][0]
    (found,) = scan(tmp_path, f"\u201cfirst\u201d \u2013 \u4e0d\n{text}\n".encode(encoding))
    assert ": holds a" in found and not found.startswith("a.txt, line 1:")


@pytest.mark.parametrize("how", HARMLESS)
def test_placeholders_hashes_and_words_are_no_secrets(scan, tmp_path, how):
    assert scan(tmp_path, HARMLESS[how]) == []
    assert scan(tmp_path, json.dumps({"cells": HARMLESS[how].splitlines()}, indent=1)) == []


def test_no_answer_shows_the_secret(scan, tmp_path):
    for text, _ in [*WANDB.values(), *OTHERS.values()]:
        (found,) = scan(tmp_path, text)
        assert not [word for word in text.split() if len(word) > 15 and word in found]
