"""Makes an agent and gives it a task, by the client that is generated from the API's description."""

import sys

from moxxy_client import AuthenticatedClient
from moxxy_client.api.agents import create_agent, get_agent, list_agents
from moxxy_client.api.providers import install_provider
from moxxy_client.api.runs import start_run
from moxxy_client.models import Agent, Error, NewAgent, NewProvider, NewRun, Run

api = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])

provider = NewProvider.from_dict({"id": "offline", "component": {"bundled": "offline"}})
assert not isinstance(install_provider.sync(client=api, body=provider), Error)
agent = create_agent.sync(client=api, body=NewAgent(name="ada", provider="offline", model="echo"))
assert isinstance(agent, Agent)
agents = list_agents.sync(client=api)
assert isinstance(agents, list)
assert agent.name in [listed.name for listed in agents]

run = start_run.sync(agent.name, client=api, body=NewRun(task="Hello from Python"), prefer="wait=60")
assert isinstance(run, Run)
print(f"{run.status}: {run.output}")

answer = get_agent.sync_detailed("nobody", client=api)
assert isinstance(answer.parsed, Error)
print(f"{answer.status_code.value}: {answer.parsed.code}")
