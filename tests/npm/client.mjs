// The official client against a server: node client.mjs URL FOLDER, where FOLDER/node_modules holds the package "ollama".
// Prints one line a check, "ok NAME" or "not ok NAME: why", and fails when one did.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import assert from "node:assert/strict";

const [url, folder] = process.argv.slice(2);
const { Ollama } = createRequire(resolve(folder, "index.js"))("ollama");
const client = new Ollama({ host: url });
const messages = [{ role: "user", content: "Say hello." }];
const ledger = async () => (await fetch(`${url}/sim/ledger`)).json();
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the weather in a city",
    parameters: { type: "object", required: ["city"], properties: { city: { type: "string", description: "The city" } } },
  },
};

const checks = {
  async version() {
    assert.match((await client.version()).version, /^\d+\.\d+/);
  },

  async list() {
    const { models } = await client.list();
    assert.ok(models.some((m) => m.name === "qwen2.5:3b"));
    for (const m of models) {
      assert.ok(m.size > 0 && m.digest.length === 64 && m.details.family);
      assert.ok(!Number.isNaN(Date.parse(m.modified_at)));
    }
  },

  async show() {
    const info = await client.show({ model: "qwen3:4b" });
    assert.deepEqual(info.capabilities, ["completion", "tools", "thinking"]);
    assert.ok(info.model_info["general.architecture"]);
  },

  async chat() {
    const reply = await client.chat({ model: "qwen2.5:3b", messages });
    assert.equal(reply.message.role, "assistant");
    assert.ok(reply.message.content.length > 0);
    assert.ok(reply.done && reply.done_reason === "stop" && reply.eval_count > 0 && reply.total_duration > 0);
  },

  async stream() {
    const whole = await client.chat({ model: "qwen2.5:3b", messages });
    const parts = await collect(await client.chat({ model: "qwen2.5:3b", messages, stream: true }));
    assert.ok(parts.length > 3);
    assert.equal(parts.map((p) => p.message.content).join(""), whole.message.content);
    assert.deepEqual(parts.map((p) => p.done).indexOf(true), parts.length - 1);
  },

  async tools() {
    for (const stream of [false, true]) {
      const asked = [{ role: "user", content: "What is the weather in Oslo?" }];
      const reply = await client.chat({ model: "qwen2.5:3b", messages: asked, tools: [weather], stream });
      const parts = stream ? await collect(reply) : [reply];
      const calls = parts.flatMap((p) => p.message.tool_calls ?? []);
      assert.equal(calls.length, 1);
      assert.equal(calls[0].function.name, "get_weather");
      assert.deepEqual(calls[0].function.arguments, { city: "Oslo" });
      const answer = await client.chat({
        model: "qwen2.5:3b",
        messages: [...asked, { role: "assistant", content: "", tool_calls: calls },
          { role: "tool", content: "rain", tool_name: "get_weather" }],
        tools: [weather],
      });
      assert.ok(answer.message.content.length > 0 && !answer.message.tool_calls);
    }
  },

  async think() {
    const reply = await client.chat({ model: "qwen3:4b", messages, think: true });
    assert.ok(reply.message.thinking.length > 0 && reply.message.content.length > 0);
    const parts = await collect(await client.chat({ model: "qwen3:4b", messages, think: true, stream: true }));
    assert.equal(parts.map((p) => p.message.thinking ?? "").join(""), reply.message.thinking);
    const quiet = await client.chat({ model: "qwen3:4b", messages, think: false });
    assert.equal(quiet.message.thinking, undefined);
    await assert.rejects(client.chat({ model: "qwen2.5:3b", messages, think: true }), /does not support thinking/);
  },

  async format() {
    const format = { type: "object", required: ["age"], properties: { age: { type: "integer" } } };
    const reply = await client.chat({ model: "qwen2.5:3b", messages: [{ role: "user", content: "I am 42" }], format });
    assert.ok(Number.isInteger(JSON.parse(reply.message.content).age));
  },

  async generate() {
    const reply = await client.generate({ model: "qwen2.5:3b", prompt: "Hello", options: { num_predict: 3 } });
    assert.equal(reply.done_reason, "length");
    assert.equal(reply.eval_count, 3);
    const parts = await collect(await client.generate({ model: "qwen2.5:3b", prompt: "Hello", stream: true }));
    assert.ok(parts.length > 3 && parts.at(-1).done && parts.at(-1).context.length > 0);
  },

  async embed() {
    const { embeddings } = await client.embed({ model: "nomic-embed-text", input: ["a cat", "a dog", "a cat"] });
    assert.deepEqual(embeddings.map((e) => e.length), [768, 768, 768]);
    assert.deepEqual(embeddings[0], embeddings[2]);
    assert.equal((await client.embed({ model: "nomic-embed-text", input: "a cat" })).embeddings.length, 1);
    assert.equal((await client.embeddings({ model: "nomic-embed-text", prompt: "a cat" })).embedding.length, 768);
  },

  async ps() {
    const { models } = await client.ps();
    assert.ok(models.some((m) => m.name === "qwen2.5:3b" && m.size_vram > 0));
    assert.ok(!Number.isNaN(Date.parse(models[0].expires_at)));
  },

  async pull() {
    const parts = await collect(await client.pull({ model: "llama3.2:1b", stream: true }));
    assert.equal(parts[0].status, "pulling manifest");
    assert.ok(parts.some((p) => p.total > 1e9 && p.completed > 0));
    assert.equal(parts.at(-1).status, "success");
    assert.equal((await client.pull({ model: "llama3.2:1b" })).status, "success");
    await assert.rejects(client.pull({ model: "no-such-model" }), /file does not exist/);
  },

  async create() {
    const parts = await collect(await client.create({ model: "terse", from: "qwen2.5:3b", system: "Be brief.", stream: true }));
    assert.equal(parts.at(-1).status, "success");
    assert.equal((await client.show({ model: "terse" })).system, "Be brief.");
  },

  async copy_and_delete() {
    assert.equal((await client.copy({ source: "terse", destination: "other" })).status, "success");
    assert.ok((await client.list()).models.some((m) => m.name === "other:latest"));
    assert.equal((await client.delete({ model: "other" })).status, "success");
    await assert.rejects(client.delete({ model: "other" }), /not found/);
  },

  async missing() {
    await assert.rejects(client.chat({ model: "nope", messages }), (e) => e.status_code === 404 && /model 'nope' not found/.test(e.message));
  },

  async abort() {
    const before = await ledger();
    const long = [{ role: "user", content: "word ".repeat(200) }];
    const stream = await client.chat({ model: "slow", messages: long, stream: true });
    await assert.rejects(async () => {
      for await (const part of stream) {
        assert.ok(!part.done);
        stream.abort();
      }
    }, { name: "AbortError" });
    await wait(50);
    const after = await ledger();
    assert.equal(after.disconnects - before.disconnects, 1);
    assert.equal(after.streams_open, 0);
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${name}: ${String(error.stack ?? error).replaceAll("\n", " | ")}`);
  }
}
console.log(`${Object.keys(checks).length - failed} of ${Object.keys(checks).length}`);
process.exitCode = failed ? 1 : 0;
