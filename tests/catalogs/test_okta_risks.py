"""What each of Okta's operations can do is reviewed, row by row; nobody changes a row unnoticed."""

import csv
import hashlib
from importlib import resources

import pytest

from jitgate.catalogs.okta import oauth_rows, okta_rows
from jitgate.values import Risk

ROWS = okta_rows()
CLASSES = {risk: sorted(row.action for row in ROWS if row.risk is risk) for risk in Risk}


@pytest.mark.parametrize(
    ("risk", "count", "digest"),
    [
        (Risk.READ, 290, "730c3c3afaba1120"),
        (Risk.WRITE, 60, "db109e24eed298b2"),
        (Risk.PRIVILEGED, 309, "402ff37c371fdab5"),
        (Risk.DESTRUCTIVE, 73, "1fefa1b789438381"),
    ],
)
def test_no_row_is_in_another_class_than_it_was_reviewed_for(risk, count, digest):
    named = "\n".join(CLASSES[risk]).encode()
    assert len(CLASSES[risk]) == count
    assert hashlib.sha256(named).hexdigest()[:16] == digest


def _table(name):
    text = resources.files("jitgate.catalogs").joinpath(name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines(), strict=True))


def test_the_catalog_has_what_was_reviewed_and_nothing_else():
    reviewed = [(row["operation"], row["risk"]) for row in _table("okta_risks.csv")]
    assert reviewed == sorted((row.action, row.risk.value) for row in ROWS)
    assert [
        (row["operation"], row["parameter"].removeprefix("body:"))
        for row in sorted(_table("okta_parameters.csv"), key=lambda row: row["operation"])
        if row["parameter"].startswith("body:")
    ] == [(row.action, name) for row in sorted(ROWS, key=_name) for name in row.in_body]
    assert {
        (row["operation"], row["parameter"])
        for row in _table("okta_parameters.csv")
        if not row["parameter"].startswith("body:")
    } == {(row.action, name) for row in ROWS for name, _ in row.parameters}


def _name(row):
    return row.action


def test_each_field_that_was_decided_to_be_secret_is_marked_and_each_that_was_not_is_not():
    marked = {row.action: row.secrets for row in ROWS}
    decided = _table("okta_secrets.csv")
    assert all(row["reason"] for row in decided)
    for row in decided:
        for operation in set(row["operations"].split()) - {"*"}:
            assert (row["field"] in marked[operation]) is (row["secret"] == "yes"), row


@pytest.mark.parametrize(
    ("action", "parameters", "in_body"),
    [
        ("deactivateUser", {"sendEmail": "false"}, ()),
        ("activateUser", {"sendEmail": "true"}, ()),
        ("createUser", {"activate": "true", "provider": "false", "nextLogin": None}, ("groupIds",)),
        ("updateUser", {"strict": "false"}, ()),
        ("expirePassword", {"tempPassword": "false"}, ()),
        ("revokeUserSessions", {"oauthTokens": "false", "forgetDevices": "true"}, ()),
        ("resetPassword", {"sendEmail": "true", "revokeSessions": "false"}, ()),
        ("assignRoleToUser", {"disableNotifications": "false"}, ("type", "role", "resource-set")),
        ("assignUserToApplication", {}, ("id", "scope")),
        ("grantConsentToScope", {}, ("scopeId",)),
        ("cloneApplicationKey", {"targetAid": None}, ()),
        ("listUsers", {}, ()),
        ("listLogEvents", {}, ()),
    ],
)
def test_what_changes_the_meaning_is_known(action, parameters, in_body):
    (row,) = [row for row in ROWS if row.action == action]
    assert dict(row.parameters) == parameters
    assert set(in_body) <= set(row.in_body)


def test_every_operation_has_a_class():
    assert [row.action for row in (*ROWS, *oauth_rows()) if row.risk is None] == []


SPOT_CHECKS = {
    Risk.READ: """
        listUsers getUser listGroups getApplication listLogEvents listApiTokens getPolicy listRoles
        listOAuth2ClientSecrets listFactors getFactorTransactionStatus sendTestEmail
        createPolicySimulation submitGroupAttributeQuery getWellknownOrgMetadata
    """,
    Risk.WRITE: """
        createUser updateUser replaceUser activateUser suspendUser unsuspendUser unlockUser addGroup
        assignUserToGroup unassignUserFromGroup assignUserToApplication
        createBrand replaceBrandTheme uploadApplicationLogo createUserType activateApplication
    """,
    Risk.PRIVILEGED: """
        assignRoleToUser assignRoleToGroup assignRoleToClient unassignRoleFromUser createRole
        addMembersToBinding grantConsentToScope revokeScopeConsentGrant createOAuth2ClientSecret addJwk
        generateApplicationKey cloneApplicationKey rotateAuthorizationServerKeys createIdentityProvider
        replaceIdentityProvider linkUserToIdentityProvider createAuthorizationServer createOAuth2Claim
        createPolicy replacePolicyRule deactivatePolicy mapResourceToPolicy createNetworkZone
        deactivateNetworkZone replaceNetworkZone enrollFactor resetFactors unenrollFactor
        createTacAuthenticatorEnrollment resetPassword expirePasswordWithTempPassword changePassword
        forgotPassword createEventHook updateInlineHook executeInlineHook createLogStream
        deactivateLogStream grantOktaSupport extendOktaSupport getAerialConsent upsertApiToken
        createTrustedOrigin updateThirdPartyAdminSetting replaceAuthenticator upsertUserRisk
        updateConfiguration createGroupRule assignGroupOwner replaceCustomizedSignInPage
        updateFeatureLifecycle revokeUserSessions deactivateApplication
    """,
    Risk.DESTRUCTIVE: """
        deactivateUser deleteUser deleteGroup deleteApplication deletePolicy deletePolicyRule
        deleteNetworkZone deleteIdentityProvider deleteAuthorizationServer deleteRole deleteLogStream
        deleteOAuth2ClientSecret revokeApiToken deactivateDevice deleteDevice deleteEventHook
        unassignUserFromApplication unassignApplicationFromGroup deleteBinding startImportFromIdentitySource
        uploadIdentitySourceDataForDelete deleteLinkedObjectDefinition
    """,
}


@pytest.mark.parametrize("risk", Risk)
def test_what_people_would_expect_is_so(risk):
    assert set(SPOT_CHECKS[risk].split()) - set(CLASSES[risk]) == set()


LOOKS_LIKE_A_WRITE = {
    "it may hold a client's keys or its secret": "createApplication replaceApplication",
    "links to recover an account, and codes, go out in it": """
        createEmailCustomization replaceEmailCustomization createSmsTemplate replaceSmsTemplate
        updateSmsTemplate
    """,
    "it says whom warnings reach, and when": """
        replaceEmailSettings replaceRateLimitSettingsAdminNotifications
        replaceRateLimitSettingsWarningThreshold
    """,
    "mail in the org's name comes from there": """
        createEmailDomain replaceEmailDomain verifyEmailDomain replaceBrand
    """,
    "its script runs where people sign in, or its links lead away from there": """
        replaceCustomizedErrorPage replacePreviewErrorPage replacePreviewSignInPage
        replaceSignOutPageSettings replaceOrgSettings updateOrgSettings
    """,
    "passwords and accounts go to an app by it, or come from there": "updateFeatureForApplication",
    "who one is to the org, or to an app": """
        updateProfileMapping updateApplicationUser assignGroupToApplication
        updateGroupAssignmentToApplication
        createIdentitySourceUser replaceExistingIdentitySourceUser updateIdentitySourceUsers
        uploadIdentitySourceDataForUpsert
    """,
    "it takes attributes away of all who have them, or lets people set their own": """
        updateUserProfile updateGroupSchema updateApplicationUserProfile
    """,
    "its groups are an app's own, or known by another's ids alone": """
        createGroupPushMapping updateGroupPushMapping createIdentitySourceGroupsMemberships
        uploadIdentitySourceGroupMembershipsForUpsert
    """,
    "it says which accounts may leave the org": """
        replaceOktaPersonalAdminSettings replaceBlockedEmailDomains
    """,
}


@pytest.mark.parametrize("reason", LOOKS_LIKE_A_WRITE)
def test_what_looks_like_a_write_and_gives_power_is_privileged(reason):
    assert set(LOOKS_LIKE_A_WRITE[reason].split()) - set(CLASSES[Risk.PRIVILEGED]) == set()


# --- what the method, or the scopes, would make one think


def test_a_get_that_is_no_read_is_named_here():
    named = {row.action for row in ROWS if row.method == "GET" and row.risk is not Risk.READ}
    assert named == {"getAerialConsent"}  # its credential could manage the org


def test_what_is_a_read_and_no_get_is_named_here():
    named = {row.action for row in ROWS if row.method != "GET" and row.risk is Risk.READ}
    assert named == {"sendTestEmail", "createPolicySimulation", "submitGroupAttributeQuery"}


def test_no_read_has_a_credential_that_could_change_something():
    for row in ROWS:
        only_reads = all(scope.endswith(".read") for scope in row.scopes)
        assert only_reads or row.risk is not Risk.READ, row.action
        assert not only_reads or not row.scopes or row.risk is Risk.READ, row.action


def test_what_needs_no_scope_and_is_no_read_is_named_here():
    named = {row.action: row.risk for row in ROWS if not row.scopes and row.risk is not Risk.READ}
    assert named == {
        "revokeCurrentApiToken": Risk.DESTRUCTIVE,
        "publishSecurityEventTokens": Risk.PRIVILEGED,
    }


GIVEN_BACK_BY_ONE_CALL = """
    deleteAssociatedServer deleteCrossAppAccessConnection deleteGroupOwner
    deleteIdentitySourceGroupMemberships deleteInterclientTrustMapping deleteLinkedObjectForUser
    deleteOrgCaptchaSettings deletePolicyResourceMapping deleteResourceSetResource
    deleteRoleFromClient deleteRolePermission removeAppTargetInstanceRoleForClient
    removeAppTargetRoleFromClient removeGroupTargetRoleFromClient revokeScopeConsentGrant
    unassignAppInstanceTargetFromAdminRoleForUser unassignAppInstanceTargetToAppAdminRoleForGroup
    unassignAppTargetFromAppAdminRoleForUser unassignAppTargetToAdminRoleForGroup
    unassignGroupTargetFromGroupAdminRole unassignGroupTargetFromUserAdminRole
    unassignMemberFromBinding unassignRoleFromGroup unassignRoleFromUser unassignUserFromGroup
    unlinkUserFromIdentityProvider
"""
GIVEN_BACK_BY_THE_PERSON = """
    deleteAuthenticatorEnrollment deleteWebAuthnPreregistrationFactor revokeGrantsForUserAndClient
    revokeOAuth2TokenForApplication revokeOAuth2TokensForApplication
    revokeRefreshTokenForAuthorizationServerAndClient
    revokeRefreshTokensForAuthorizationServerAndClient revokeSession revokeTokenForUserAndClient
    revokeTokensForUserAndClient revokeUserGrant revokeUserGrants revokeUserSessions unenrollFactor
"""
DRAFTS = "deletePreviewErrorPage deletePreviewSignInPage deleteIdentitySourceSession"


def test_a_delete_that_destroys_nothing_is_named_here():
    named = {
        row.action for row in ROWS if row.method == "DELETE" and row.risk is not Risk.DESTRUCTIVE
    }
    assert named == set(f"{GIVEN_BACK_BY_ONE_CALL} {GIVEN_BACK_BY_THE_PERSON} {DRAFTS}".split())


def test_what_destroys_and_is_no_delete_is_named_here():
    named = {row.action for row in ROWS if row.method != "DELETE" and row.risk is Risk.DESTRUCTIVE}
    assert named == {
        "deactivateDevice",
        "deactivateUser",
        "startImportFromIdentitySource",
        "uploadIdentitySourceDataForDelete",
        "uploadIdentitySourceGroupsDataForDelete",
    }


AREAS = (
    "/api/v1/iam/",
    "/api/v1/idps",
    "/api/v1/authorizationServers",
    "/api/v1/authenticators",
    "/api/v1/policies",
    "/api/v1/zones",
    "/api/v1/eventHooks",
    "/api/v1/inlineHooks",
    "/api/v1/hook-keys",
    "/api/v1/logStreams",
    "/api/v1/trustedOrigins",
    "/api/v1/api-tokens",
    "/api/v1/org/privacy/oktaSupport",
    "/api/v1/behaviors",
    "/api/v1/mappings",
    "/api/v1/templates/sms",
    "/api/v1/email-domains",
    "/oauth2/v1/clients/{clientId}/roles",
)


@pytest.mark.parametrize("area", AREAS)
def test_where_power_is_handed_out_nothing_is_a_mere_write(area):
    found = [row for row in ROWS if row.template.startswith(area)]
    assert found
    assert [row.action for row in found if row.risk is Risk.WRITE] == []
