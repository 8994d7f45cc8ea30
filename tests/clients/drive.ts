// Makes an agent and gives it a task, by the types that are generated from the API's description.

import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { argv: string[] };

const api = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

function expect<T>({ data, error }: { data?: T; error?: { error: string } }): T {
  if (data === undefined) throw new Error(error?.error ?? "there is no answer");
  return data;
}

expect(await api.POST("/v1/providers", { body: { id: "offline", component: { bundled: "offline" } } }));
const body = { name: "ada", provider: "offline", model: "echo" };
const agent = expect(await api.POST("/v1/agents", { body }));
const names: string[] = expect(await api.GET("/v1/agents")).map((listed) => listed.name);
if (!names.includes(agent.name)) throw new Error(`${agent.name} is not listed`);

const run = expect(
  await api.POST("/v1/agents/{name}/runs", {
    params: { path: { name: agent.name }, header: { Prefer: "wait=60" } },
    body: { task: "Hello from TypeScript" },
  }),
);
console.log(`${run.status}: ${run.output}`);

const { error, response } = await api.GET("/v1/agents/{name}", { params: { path: { name: "nobody" } } });
console.log(`${response.status}: ${error?.code}`);
