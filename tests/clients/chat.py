"""Talks to agents by the official client of OpenAI's API. A blank line is printed as `|`."""

import asyncio
import json
import sys

from openai import APIError, APIStatusError, AsyncOpenAI, OpenAI
from pydantic import BaseModel

url, token, reader = sys.argv[1:]
client = OpenAI(base_url=f"{url}/v1", api_key=token)
count = {"model": "ada", "messages": [{"role": "user", "content": "count them"}]}


def line(text):
    return text.replace("\n\n", "|")


print("models:", *[model.id for model in client.models.list()])
print("model:", client.models.retrieve("ada").owned_by)

answer = client.chat.completions.create(**count)
plain = answer.choices[0]
print("plain:", line(plain.message.content), plain.finish_reason, answer.usage.total_tokens)

pieces, finish, usage = [], None, None
for chunk in client.chat.completions.create(**count, stream=True, stream_options={"include_usage": True}):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        pieces.append(choice.delta.content or "")
        finish = choice.finish_reason or finish
print(f"streamed: {line(''.join(pieces))} {finish} {usage.total_tokens}, in pieces: {len(pieces) > 5}")

with client.chat.completions.stream(model="mirror", messages=count["messages"]) as stream:
    assert stream.get_final_completion().choices[0].finish_reason == "stop"
streamed = client.chat.completions.create(**count, stream=True)
print("helper:", line("".join(chunk.choices[0].delta.content or "" for chunk in streamed)))


async def at_once():
    several = AsyncOpenAI(base_url=f"{url}/v1", api_key=token)

    async def ask():
        stream = await several.chat.completions.create(**count, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    answers = await asyncio.gather(ask(), ask(), ask())
    print("at once:", len(answers), "the same:", set(answers) == {plain.message.content})


asyncio.run(at_once())

turns = [
    {"role": "user", "content": "My name is Grace."},
    {"role": "assistant", "content": "Hello Grace."},
    {"role": "user", "content": "What is my name?"},
]
shown = json.loads(client.chat.completions.create(model="mirror", messages=turns).choices[0].message.content)
print("remembered:", *[message["role"] for message in shown["messages"]])


class Person(BaseModel):
    name: str
    age: int | None


parsed = client.chat.completions.parse(**{**count, "model": "clerk"}, response_format=Person)
print("parsed:", repr(parsed.choices[0].message.parsed))
with client.chat.completions.stream(**{**count, "model": "clerk"}, response_format=Person) as stream:
    print("parsed from a stream:", repr(stream.get_final_completion().choices[0].message.parsed))


def refused(what, client, **asked):
    try:
        client.chat.completions.create(**{**count, **asked})
    except APIStatusError as error:
        print(f"{what}: {type(error).__name__} {error.code}: {error.body['message']}")


refused("unknown", client, model="nobody")
refused("tools", client, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])
refused("scope", OpenAI(base_url=f"{url}/v1", api_key=reader))
refused("limited", client, model="busy")
town = {"name": "town", "schema": {"type": "object", "required": ["city"]}}
refused("unfit", client, model="clerk", response_format={"type": "json_schema", "json_schema": town})

try:
    for chunk in client.chat.completions.create(**{**count, "model": "cut"}, stream=True):
        pass
except APIError as error:
    print(f"cut: {type(error).__name__} {error.code} {error}")

response = client.responses.create(model="ada", input="count them", instructions="Be brief.")
print("response:", line(response.output_text), response.status, response.usage.total_tokens)
pieces = []
with client.responses.stream(model="echo", input="one two") as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            pieces.append(event.delta)
    final = stream.get_final_response()
print("response streamed:", "".join(pieces) == final.output_text == "one two")
first = client.responses.create(model="mirror", input="My name is Grace.")
second = client.responses.create(model="mirror", input="What is my name?", previous_response_id=first.id)
shown = json.loads(second.output_text)["messages"]
print("followed:", *[message["role"] for message in shown])
print("retrieved:", client.responses.retrieve(first.id).output_text == first.output_text)
client.responses.delete(second.id)
try:
    client.responses.retrieve(second.id)
except APIStatusError as error:
    print("deleted:", error.code)
try:
    client.responses.create(model="cut", input="go")
except APIStatusError as error:
    print("response cut:", type(error).__name__, error.code)
