"""Profiles of the shared files, read as the settings they stand for."""

import pytest

from gateway.upstream.aws_files import ProfileError, profile_setting
from gateway.upstream.credentials import AwsProfile, AwsRole, AwsStatic

CREDENTIALS = """
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = default%secret/+=

[session]
aws_access_key_id=ASIASESSION
aws_secret_access_key=secret
aws_session_token=token==
"""
CONFIG = """
[default]
region = eu-west-1
aws_access_key_id = IGNORED

[profile role]
role_arn = arn:aws:iam::123456789012:role/gateway
source_profile = default
external_id = e-1
role_session_name = wb
region = eu-west-1

[profile sourceless]
role_arn = arn:aws:iam::123456789012:role/gateway

[profile process]
credential_process = /bin/cat /secret

[profile empty]
region = eu-west-1
"""


@pytest.mark.parametrize(
    ("profile", "setting"),
    [
        ("default", AwsStatic("AKIADEFAULT", "default%secret/+=")),
        ("session", AwsStatic("ASIASESSION", "secret", "token==")),
        (
            "role",
            AwsRole(
                role_arn="arn:aws:iam::123456789012:role/gateway",
                source=AwsProfile("default", "/p"),
                external_id="e-1",
                session_name="wb",
                region="eu-west-1",
            ),
        ),
    ],
)
def test_a_profile_is_what_the_aws_tools_take_it_for(
    profile: str, setting: AwsStatic | AwsRole
) -> None:
    assert profile_setting(AwsProfile(profile, "/p"), CREDENTIALS, CONFIG) == setting


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        ("absent", "no profile 'absent'"),
        ("sourceless", "source_profile"),
        ("process", "credential_process"),
        ("empty", "neither keys nor a role"),
    ],
)
def test_an_unusable_profile_says_why(profile: str, why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        profile_setting(AwsProfile(profile), CREDENTIALS, CONFIG)


def test_an_unreadable_file_is_named_and_not_quoted() -> None:
    with pytest.raises(ProfileError) as caught:
        profile_setting(AwsProfile(), "AKIASECRET = no section", "")
    assert "AKIASECRET" not in str(caught.value)
