"""The AWS tools' shared files: a profile, read as the setting it stands for.

Pure over the files' text; who reads the files passes it in. To support another key of a profile: read it in
``profile_setting``.
"""

from collections.abc import Mapping
from configparser import ConfigParser, Error as ConfigParserError
from typing import Final

from gateway.upstream.credentials import AwsProfile, AwsRole, AwsStatic

_ELSEWHERE: Final = ("credential_process", "sso_session", "sso_start_url")


class ProfileError(Exception):
    """Why a profile cannot be used; holds names, never values."""


def profile_setting(
    setting: AwsProfile, credentials_text: str, config_text: str
) -> AwsStatic | AwsRole:
    """What a profile means: fixed keys, or a role with its source profile.

    credentials_text, config_text  the two shared files, '' where absent; the first wins
    Raises ProfileError.
    """
    name = setting.profile
    section = "default" if name == "default" else f"profile {name}"
    values = _section(config_text, section) | _section(credentials_text, name)
    if not values:
        raise ProfileError(f"there is no profile {name!r} in the shared credentials file")
    if "role_arn" in values:
        return _role(setting, values)
    if "aws_access_key_id" in values and "aws_secret_access_key" in values:
        return AwsStatic(
            values["aws_access_key_id"],
            values["aws_secret_access_key"],
            values.get("aws_session_token"),
        )
    for key in _ELSEWHERE:
        if key in values:
            raise ProfileError(
                f"profile {name!r} uses {key}, which the gateway does not run: use keys, a role, or the chain"
            )
    raise ProfileError(f"profile {name!r} holds neither keys nor a role")


def _section(text: str, section: str) -> dict[str, str]:
    # Percent signs are part of a secret, not interpolation; repeated keys are the files' own affair.
    parser = ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read_string(text)
    except ConfigParserError as error:
        raise ProfileError("a shared credentials file is not readable as INI") from error
    return dict(parser[section]) if parser.has_section(section) else {}


def _role(setting: AwsProfile, values: Mapping[str, str]) -> AwsRole:
    source = values.get("source_profile")
    if source is None:
        raise ProfileError(
            f"profile {setting.profile!r} assumes a role and names no source_profile"
        )
    return AwsRole(
        role_arn=values["role_arn"],
        source=AwsProfile(source, setting.path),
        external_id=values.get("external_id"),
        session_name=values.get("role_session_name", "weighbridge"),
        region=values.get("region", "us-east-1"),
    )
