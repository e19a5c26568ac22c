"""The templates of roles, deployed, and their roles assumed as the operator assumes them."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from leeward_adapters import dependencies, iam_policy, iam_templates, permissions, registry
from leeward_adapters.aws import Aws
from leeward_adapters.iam_policy import READ_ROLE, RECOVERY_ROLE

# moto makes no Pod Identity associations, topic policies, alarms, sinks and links: it says so, and
# leaves them out.
pytestmark = [pytest.mark.aws, pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")]

HUB = "999999999999"
REGION = "us-east-2"
OPERATOR = f"arn:aws:iam::{HUB}:role/leeward"
ORGANIZATION = "o-exampleorgid"
TEMPLATES = iam_templates.render()
DEPLOY = Path(__file__).parents[2] / "deploy" / "aws"


class Accounts:
    """Stacks in accounts of the sandbox, with an administrator's keys."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._made: list[tuple[Any, str]] = []

    def client(self, account: str, service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=f"SANDBOX{account}",
            aws_secret_access_key="sandbox",
        )

    def deploy(self, account: str, name: str, template: str, **parameters: str) -> dict[str, str]:
        """Create the stack; its outputs."""
        cloudformation = self.client(account, "cloudformation")
        self._made.append((cloudformation, name))
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}

    def delete_all(self) -> None:
        while self._made:
            cloudformation, name = self._made.pop()
            cloudformation.delete_stack(StackName=name)


@pytest.fixture
def accounts(sandbox: Any) -> Iterator[Accounts]:
    made = Accounts(sandbox.endpoint)
    yield made
    # moto's state outlives the server, and the hub's account is every test's.
    made.delete_all()
    iam = made.client(HUB, "iam")
    for role in iam.list_roles()["Roles"]:
        for policy in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=policy)
        iam.delete_role(RoleName=role["RoleName"])


@pytest.fixture
def operator(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Leeward's clients with a session of the role that the operator's template makes."""
    deployed = accounts.deploy(HUB, "operator", TEMPLATES["operator-role.yaml"], ClusterName="hub")
    assert deployed == {"RoleArn": OPERATOR}
    # EKS is not in the sandbox: its administrator stands in for the agent that gives pods the role.
    root = {"AWS": f"arn:aws:iam::{HUB}:root"}
    letting_in = {"Effect": "Allow", "Principal": root, "Action": "sts:AssumeRole"}
    accounts.client(HUB, "iam").update_assume_role_policy(
        RoleName="leeward",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [letting_in]}),
    )
    session = accounts.client(HUB, "sts").assume_role(RoleArn=OPERATOR, RoleSessionName="pod")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["Credentials"]["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["Credentials"]["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", session["Credentials"]["SessionToken"])
    return Aws(REGION, endpoint_url=accounts.endpoint)


@pytest.fixture
def target(accounts: Accounts, sandbox: Any, new_account: Callable[[], str]) -> str:
    """An account with the two roles that its template makes."""
    account = new_account()
    outputs = accounts.deploy(
        account,
        "leeward",
        TEMPLATES["target-account-roles.yaml"],
        OperatorRoleArn=OPERATOR,
        Namespaces=f"{sandbox.namespace},other",
        ExternalIds=f"leeward/sandbox/{sandbox.namespace},leeward/sandbox/other",
        Regions="us-east-1,us-east-2",
        SessionTagKeys="CostCentre",
    )
    assert outputs == {
        "LeewardReadArn": f"arn:aws:iam::{account}:role/LeewardRead",
        "LeewardRecoveryArn": f"arn:aws:iam::{account}:role/LeewardRecovery",
    }
    return account


def test_the_operator_assumes_both_roles_of_an_account_and_lacks_nothing(
    operator: Aws, target: str, sandbox: Any
) -> None:
    account = sandbox.reached(target)
    needed = iam_policy.needed(sorted(registry.BUILT_IN), sorted(dependencies.CHECKS))

    assert operator.whoami(operator.scope(account, REGION)).account_id == target
    for recovery, actions in ((False, needed.read), (True, needed.recovery)):
        rights = permissions.check(
            operator.scope(account, REGION),
            operator.scope(account, REGION, recovery=recovery),
            account.role(recovery=recovery),
            actions,
        )
        assert rights == permissions.Rights("Simulated")


def test_the_roles_let_in_nobody_else_and_nothing_else(
    operator: Aws, target: str, sandbox: Any, accounts: Accounts
) -> None:
    account = sandbox.reached(target)
    tags = dict(account.session_tags)
    operator.assume(sandbox.reached(target, session_tags={**tags, "CostCentre": "4711"}))
    for changed in (
        {"external_id": "leeward/sandbox/third"},
        {"external_id": ""},
        {"session_tags": {**tags, "leeward:namespace": "third"}},
        {"session_tags": {**tags, "Department": "x"}},
    ):
        with pytest.raises(Exception, match="cannot be assumed"):
            operator.assume(sandbox.reached(target, **changed))

    neighbour = accounts.client(HUB, "sts")
    with pytest.raises(Exception, match="AccessDenied"):
        neighbour.assume_role(
            RoleArn=account.read_role_arn,
            RoleSessionName="not-the-operator",
            ExternalId=account.external_id,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )


def test_the_roles_outlive_the_operators_role(
    operator: Aws, target: str, sandbox: Any, accounts: Accounts
) -> None:
    """As a principal it would be its unique id, which a new role of its name lacks."""
    for role in accounts.client(target, "iam").list_roles()["Roles"]:
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            assert statement["Principal"] == {"AWS": f"arn:aws:iam::{HUB}:root"}
            assert statement["Condition"]["ArnEquals"] == {"aws:PrincipalArn": OPERATOR}
    operator.assume(sandbox.reached(target))


def test_what_the_template_allows_is_what_the_command_prints(
    target: str, accounts: Accounts
) -> None:
    printed = iam_policy.documents(
        sorted(registry.BUILT_IN),
        target,
        regions=["us-east-1", "us-east-2"],
        checked=sorted(dependencies.CHECKS),
    )
    iam = accounts.client(target, "iam")

    for role in (READ_ROLE, RECOVERY_ROLE):
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        # moto gives what CloudFormation made in Python's notation, and calls that a string.
        made = ast.literal_eval(
            iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        )
        assert made == printed[role]
        assert len("".join(json.dumps(made).split())) <= 10_240


def _decisions(
    accounts: Accounts, actions: list[str], resource: str, role: str = OPERATOR, **context: str
) -> set[str]:
    answer = accounts.client(role.split(":")[4], "iam").simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=actions,
        ResourceArns=[resource],
        ContextEntries=[
            {
                "ContextKeyName": key.replace("_", ":"),
                "ContextKeyValues": [value],
                "ContextKeyType": "string",
            }
            for key, value in context.items()
        ],
    )
    return {result["EvalDecision"] for result in answer["EvaluationResults"]}


def _recovery(accounts: Accounts, account: str, **parameters: str) -> str:
    outputs = accounts.deploy(
        account,
        "leeward",
        TEMPLATES["target-account-roles.yaml"],
        OperatorRoleArn=OPERATOR,
        Namespaces="orders",
        ExternalIds="leeward/hub/orders",
        **parameters,
    )
    return outputs["LeewardRecoveryArn"]


def test_what_an_account_does_not_name_the_recovery_role_may_not_use(
    accounts: Accounts, new_account: Callable[[], str]
) -> None:
    account = new_account()
    # A role of documents without documents is for nothing.
    runner = f"arn:aws:iam::{account}:role/runner"
    role = _recovery(accounts, account, AutomationRoleArns=runner)
    document = f"arn:aws:ssm:us-east-2:{account}:document/drain"

    denied = {"implicitDeny"}
    assert _decisions(accounts, [permissions.START], document, role) == denied
    for service in ("ssm", "ec2"):
        to = f"{service}.amazonaws.com"
        assert _decisions(
            accounts, [permissions.PASS], runner, role, iam_PassedToService=to
        ) == denied  # fmt: skip


def test_profiles_documents_and_their_roles_are_allowed_by_name_alone(
    accounts: Accounts, new_account: Callable[[], str]
) -> None:
    account, other = new_account(), "222222222222"
    app, runner = (f"arn:aws:iam::{account}:role/{name}" for name in ("app", "runner"))
    role = _recovery(
        accounts,
        account,
        Regions="us-east-2",
        InstanceProfileRoleArns=f"{app},arn:aws:iam::{account}:role/web-*",
        AutomationDocuments="drain,AWS-StopEC2Instance",
        AutomationRoleArns=runner,
    )

    def start(resource: str, region: str = "us-east-2") -> set[str]:
        arn = f"arn:aws:ssm:us-east-2:{resource}"
        asked = {"aws_RequestedRegion": region}
        return _decisions(accounts, [permissions.START], arn, role, **asked)

    def passed(arn: str, service: str) -> set[str]:
        to = {"iam_PassedToService": f"{service}.amazonaws.com"}
        return _decisions(accounts, [permissions.PASS], arn, role, **to)

    for named in (
        f"{account}:document/drain",
        f"{account}:automation-definition/drain:7",
        f"{account}:automation-execution/8a5c0f5e",
        ":document/AWS-StopEC2Instance",
        ":automation-definition/AWS-StopEC2Instance:1",
    ):
        assert start(named) == {"allowed"}, named
    assert start(f"{account}:document/drain", "eu-west-1") == {"implicitDeny"}
    assert start(f"{account}:document/drain-other") == {"implicitDeny"}
    assert start(f"{other}:document/drain") == {"explicitDeny"}
    assert passed(runner, "ssm") == passed(app, "ec2") == {"allowed"}
    assert passed(f"arn:aws:iam::{account}:role/web-1", "ec2") == {"allowed"}
    assert passed(app, "ssm") == passed(runner, "ec2") == {"implicitDeny"}


def test_the_operators_role_may_assume_the_accounts_roles_and_nothing_else(
    accounts: Accounts,
) -> None:
    accounts.deploy(
        HUB,
        "operator",
        TEMPLATES["operator-role.yaml"],
        ClusterName="hub",
        OrganizationId=ORGANIZATION,
    )
    assume = ["sts:AssumeRole", "sts:TagSession"]
    read = "arn:aws:iam::111111111111:role/LeewardRead"
    ours = {"aws_ResourceOrgID": ORGANIZATION}

    assert _decisions(accounts, assume, read, **ours) == {"allowed"}
    assert _decisions(accounts, assume, read, aws_ResourceOrgID="o-foreign000") == {"implicitDeny"}
    others = "arn:aws:iam::111111111111:role/Administrator"
    assert _decisions(accounts, assume, others, **ours) == {"implicitDeny"}
    optional = ["sns:Publish", "events:PutEvents", "ssm:GetParametersByPath", "kms:Decrypt"]
    assert _decisions(accounts, optional, "*") == {"implicitDeny"}
    assert _decisions(
        accounts, ["cloudwatch:PutMetricData"], "*", cloudwatch_namespace="Leeward"
    ) == {"implicitDeny"}


def test_what_the_operator_does_by_itself_is_allowed_by_name(accounts: Accounts) -> None:
    topic, bus = f"arn:aws:sns:{REGION}:{HUB}:a", f"arn:aws:events:{REGION}:{HUB}:event-bus/b"
    accounts.deploy(
        HUB,
        "operator",
        TEMPLATES["operator-role.yaml"],
        ClusterName="hub",
        TopicArns=topic,
        EventBusArns=bus,
        SettingsPath="/leeward/prod",
        CloudWatchMetrics="true",
    )

    assert _decisions(accounts, ["sns:Publish"], topic) == {"allowed"}
    assert _decisions(accounts, ["sns:Publish"], f"{topic}-other") == {"implicitDeny"}
    assert _decisions(accounts, ["events:PutEvents"], bus) == {"allowed"}
    path = f"arn:aws:ssm:{REGION}:{HUB}:parameter/leeward/prod"
    assert _decisions(accounts, ["ssm:GetParametersByPath"], path) == {"allowed"}
    assert _decisions(
        accounts, ["cloudwatch:PutMetricData"], "*", cloudwatch_namespace="Leeward"
    ) == {"allowed"}
    assert _decisions(
        accounts, ["cloudwatch:PutMetricData"], "*", cloudwatch_namespace="AWS/EC2"
    ) == {"implicitDeny"}


def test_irsa_trusts_the_service_account_of_the_cluster_alone(accounts: Accounts) -> None:
    issuer = "oidc.eks.us-east-2.amazonaws.com/id/EXAMPLE"
    accounts.deploy(
        HUB, "operator", TEMPLATES["operator-role.yaml"], Identity="IRSA", OidcProvider=issuer
    )

    role = accounts.client(HUB, "iam").get_role(RoleName="leeward")["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::{HUB}:oidc-provider/{issuer}"}
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"]["StringEquals"] == {
        f"{issuer}:sub": "system:serviceaccount:leeward-system:leeward",
        f"{issuer}:aud": "sts.amazonaws.com",
    }


def test_pod_identity_trusts_the_service_account_of_the_cluster_alone(accounts: Accounts) -> None:
    accounts.deploy(HUB, "operator", TEMPLATES["operator-role.yaml"], ClusterName="hub")

    role = accounts.client(HUB, "iam").get_role(RoleName="leeward")["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Condition"]["StringEquals"] == {
        "aws:SourceAccount": HUB,
        "aws:RequestTag/eks-cluster-name": "hub",
        "aws:RequestTag/kubernetes-namespace": "leeward-system",
        "aws:RequestTag/kubernetes-service-account": "leeward",
    }


def test_a_rebuilt_hub_makes_its_role_anew(accounts: Accounts) -> None:
    template = TEMPLATES["operator-role.yaml"]
    accounts.deploy(HUB, "operator", template, ClusterName="hub")
    accounts.delete_all()

    issuer = "oidc.eks.us-east-2.amazonaws.com/id/REBUILT"
    made = accounts.deploy(HUB, "rebuilt", template, Identity="IRSA", OidcProvider=issuer)

    assert made == {"RoleArn": OPERATOR}
    role = accounts.client(HUB, "iam").get_role(RoleName="leeward")["Role"]
    assert issuer in str(role["AssumeRolePolicyDocument"])


def test_where_the_topic_is_not_only_replication_is_shown(accounts: Accounts, sandbox: Any) -> None:
    template = (DEPLOY / "monitoring.yaml").read_text("utf-8")
    elsewhere = f"arn:aws:sns:us-west-2:{HUB}:leeward"
    cloudwatch = accounts.client(sandbox.account, "cloudwatch")
    for name, given in (("empty", {}), ("elsewhere", {"TopicArn": elsewhere})):
        accounts.deploy(sandbox.account, name, template, **given)
        shown = [one["DashboardName"] for one in cloudwatch.list_dashboards()["DashboardEntries"]]
        assert shown == [f"Leeward-DRS-all-accounts-{REGION}"], name
        accounts.delete_all()


def test_topic_bus_dashboards_and_bucket_are_deployed(accounts: Accounts, sandbox: Any) -> None:
    told = accounts.deploy(
        HUB,
        "notifications",
        (DEPLOY / "notifications.yaml").read_text("utf-8"),
        OperatorRoleArn=OPERATOR,
        OrganizationId=ORGANIZATION,
    )
    monitored = (DEPLOY / "monitoring.yaml").read_text("utf-8")
    accounts.deploy(HUB, "monitoring", monitored, TopicArn=told["TopicArn"])
    shown = accounts.client(HUB, "cloudwatch").list_dashboards()["DashboardEntries"]
    assert f"Leeward-leeward-{REGION}" in {one["DashboardName"] for one in shown}
    kept = accounts.deploy(HUB, "backup", (DEPLOY / "backup-bucket.yaml").read_text("utf-8"))
    forwarded = (DEPLOY / "account-monitoring.yaml").read_text("utf-8")
    accounts.deploy(sandbox.account, "monitoring", forwarded, EventBusArn=told["EventBusArn"])

    topic = accounts.client(HUB, "sns").get_topic_attributes(TopicArn=told["TopicArn"])
    assert topic["Attributes"]["KmsMasterKeyId"] == told["KeyArn"]
    encryption = accounts.client(HUB, "s3").get_bucket_encryption(Bucket=kept["BucketName"])
    (rule,) = encryption["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    (target,) = accounts.client(sandbox.account, "events").list_targets_by_rule(
        Rule=accounts.client(sandbox.account, "events").list_rules()["Rules"][0]["Name"]
    )["Targets"]
    assert target["Arn"] == told["EventBusArn"]
    for account in (HUB, sandbox.account):
        cloudwatch = accounts.client(account, "cloudwatch")
        for entry in cloudwatch.list_dashboards()["DashboardEntries"]:
            body = cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
            assert json.loads(body)["widgets"]
