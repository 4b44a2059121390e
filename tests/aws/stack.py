"""The stack of template.yaml on a local engine, for as long as a command runs.

    stack.py <built template> <command...>

Starts ministack on loopback, a stand-in for AWS's Parameters and Secrets extension, and deploys what
`sam build` made with `sam deploy`, as docs/deploy.md does it on AWS. The command finds the engine by
AWS_ENDPOINT_URL, and the stack's names in the file that STACK names. Both end with the command,
however it ends; its exit status is this program's.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3
from samcli.yamlhelper import yaml_parse

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
STACK = "lotwire-dev"
REGION = "eu-south-1"
TOKEN = "the token of this stack"
PATIENCE = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment(port, extension_port):
    """What everything here is started with. Without the first two the engine listens on all addresses."""
    return os.environ | {
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "GATEWAY_PORT": str(port),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(extension_port),
        "SAM_CLI_TELEMETRY": "0",
    }


def answers(url, process):
    """Waits until something listens there. The process may lose its port to another: then it ends."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{process.args[0]} does not answer at {url}")


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def deployable(template):
    """The same template without what the engine refuses the whole stack for: nothing depends on it."""
    template = pathlib.Path(template)
    document = yaml_parse(template.read_text())
    numbers = {name: it["Default"] for name, it in document["Parameters"].items() if it["Type"] == "Number"}
    resources = with_numbers(known(document["Resources"]), numbers)
    out = template.with_name("deployable.json")
    out.write_text(json.dumps(document | {"Resources": resources}, indent=1))
    return str(out)


def with_numbers(value, numbers):
    """With parameters that are numbers in their places: the engine would take them for text."""
    if isinstance(value, list):
        return [with_numbers(it, numbers) for it in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["Ref"] and str(value["Ref"]) in numbers:
        return numbers[value["Ref"]]
    # What a function's environment says is text.
    return {name: it if name == "Variables" else with_numbers(it, numbers) for name, it in value.items()}


def known(resources):
    kept = {}
    for name, resource in resources.items():
        if name.startswith("Fn::ForEach"):
            if body := known(resource[-1]):
                kept[name] = [*resource[:-1], body]
        elif resource["Type"] == "AWS::Logs::QueryDefinition":
            continue  # for people
        elif resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            continue  # over more than one metric
        else:
            kept[name] = resource
    return kept


def deploy(template, env):
    boto3.client("ssm", endpoint_url=env["AWS_ENDPOINT_URL"], region_name=REGION).put_parameter(
        Name=f"/{STACK}/api-token", Value=TOKEN, Type="SecureString"
    )
    # The one host is that of the vendors' stand-ins.
    parameters = [f"SecretsPath={STACK}", "AllowedHosts=127.0.0.1", *env["STACK_PARAMETERS"].split()]
    command = ["sam", "deploy", "--template-file", deployable(template), "--no-progressbar"]
    command += ["--config-file", str(REPOSITORY / "samconfig.toml"), "--config-env", "dev"]
    command += ["--parameter-overrides", *parameters]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"sam deploy failed:\n{done.stdout}")


def describe(env):
    """What the suite needs to know of the stack."""
    cloudformation = boto3.client("cloudformation", endpoint_url=env["AWS_ENDPOINT_URL"], region_name=REGION)
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    return {
        "token": TOKEN,
        "outputs": {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]},
        "resources": {it["LogicalResourceId"]: it["PhysicalResourceId"] for it in resources},
    }


def main(template, *command):
    port, extension_port = free_port(), free_port()
    env = environment(port, extension_port)
    os.environ |= {name: value for name, value in env.items() if name.startswith("AWS_")}
    # Ended by a signal, this still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = []
    with tempfile.TemporaryDirectory() as scratch:
        log = pathlib.Path(env.get("STACK_LOG", f"{scratch}/engine.log"))
        env["STACK"] = f"{scratch}/stack.json"
        try:
            with log.open("w") as out:
                for program, url in [
                    (env["MINISTACK"], f"http://127.0.0.1:{port}/_localstack/health"),
                    (env["SECRETS_EXTENSION"], f"http://127.0.0.1:{extension_port}/"),
                ]:
                    started.append(subprocess.Popen([program], env=env, cwd=scratch, stdout=out, stderr=out))
                    answers(url, started[-1])
            began = time.monotonic()
            deploy(template, env)
            print(f"{STACK} deployed in {time.monotonic() - began:.0f} s at {env['AWS_ENDPOINT_URL']}", flush=True)
            pathlib.Path(env["STACK"]).write_text(json.dumps(describe(env)))
            return subprocess.run(command, env=env, check=False).returncode
        finally:
            for process in reversed(started):
                stop(process)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))
