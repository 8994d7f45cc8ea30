// Talks to agents by the official client of OpenAI's API. A blank line is printed as `|`.
import OpenAI from "openai";

const [url, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey });
const count = { model: "ada", messages: [{ role: "user", content: "count them" }] };
const line = (text) => text.replaceAll("\n\n", "|");

const models = [];
for await (const model of client.models.list()) models.push(model.id);
console.log("models:", ...models);

const plain = await client.chat.completions.create(count);
console.log("plain:", line(plain.choices[0].message.content), plain.usage.total_tokens);

let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...count, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
console.log("streamed:", line(streamed));

const helped = client.chat.completions.stream(count);
console.log("helper:", line(await helped.finalContent()));

for (const model of ["nobody", "busy", "cut"]) {
  try {
    for await (const _ of await client.chat.completions.create({ ...count, model, stream: model === "cut" }));
  } catch (error) {
    console.log(`${model}:`, error.constructor.name, error.message);
  }
}
