"""An upstream's credential: its table, with the secrets read from where they are referred to, never shown."""

from typing import Any, Final, get_args

from gateway.config.reader import Reader, shown
from gateway.providers.contract import Provider
from gateway.upstream.credentials import Anonymous, AwsChain, CredentialSetting, Entra, GoogleAdc

_MISSING: Final = "missing"  # stands for a secret that is reported already
SECRET_KEYS = frozenset({"key", "token", "secret_access_key", "session_token", "client_secret"})
CREDENTIAL_TYPES = ("api_key", "bearer", "entra", "aws_static", "aws_profile", "aws_chain", "aws_role", "google_adc", "anonymous")  # fmt: skip
_TYPE: Final = "type"


def read_credential(
    reader: Reader, raw: object, provider: Provider | None, where: str
) -> CredentialSetting:
    """The configured credential, or the cloud's own ambient one. Without a provider it is only checked."""
    if raw is None:
        return Anonymous() if provider is None else _ambient(provider)
    return _setting(reader, raw, where) or Anonymous()


def _setting(reader: Reader, raw: object, where: str) -> CredentialSetting | None:
    """None where something is wrong, which is said."""
    if not isinstance(raw, dict):
        reader.problem(where, 'expected a table such as { type = "api_key", key = "${env:NAME}" }')
        return None
    table = _revealed(reader, raw, where)
    kind = _kinds().get(str(table.pop(_TYPE, None)))
    if kind is None:
        found = f", found {shown(raw[_TYPE])}" if _TYPE in raw else ""
        reader.problem(f"{where}.{_TYPE}", f"expected one of {', '.join(CREDENTIAL_TYPES)}{found}")
        return None
    fields = reader.table(kind, table, where)
    if fields is None:
        return None
    try:
        setting: CredentialSetting = kind(**fields)
    except ValueError as error:
        reader.problem(where, str(error))
        return None
    return setting


def _kinds() -> dict[str, Any]:
    return {str(kind.__struct_config__.tag): kind for kind in get_args(CredentialSetting)}


def _revealed(reader: Reader, raw: dict[str, object], place: str) -> dict[str, object]:
    """A credential's table with its secrets read from where they are referred to."""
    table: dict[str, object] = {}
    for key, value in raw.items():
        where = f"{place}.{key}"
        if key in SECRET_KEYS:
            table[key] = reader.secret(value, where) or _MISSING
        elif isinstance(value, dict):
            table[key] = _revealed(reader, value, where)
        else:
            table[key] = reader.expanded(value, where)
    return table


def _ambient(provider: Provider) -> CredentialSetting:
    """Without a configured credential the machine's own identity is used."""
    match provider.ambient:
        case "entra":
            return Entra()
        case "aws":
            return AwsChain()
        case "adc":
            return GoogleAdc()
