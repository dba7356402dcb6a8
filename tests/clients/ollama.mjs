// npm: ollama, against agents:  PEERS=FOLDER node ollama.mjs URL
import assert from "node:assert/strict";
import { ages, collect, load, run, weather } from "./checks.mjs";

const { Ollama } = await load("ollama");
const client = new Ollama({ host: process.argv[2] });
const asks = (content) => [{ role: "user", content }];

await run({
  async version() {
    assert.match((await client.version()).version, /^\d+\.\d+\.\d+/);
  },

  async list_has_every_agent() {
    const { models } = await client.list();
    assert.deepEqual(models.map((m) => m.name), ["clerk:latest", "desk:latest", "poet:latest"]);
    for (const m of models) assert.ok(m.digest.length === 64 && m.details.family && !Number.isNaN(Date.parse(m.modified_at)));
  },

  async show_tells_abilities() {
    const info = await client.show({ model: "clerk" });
    assert.deepEqual(info.capabilities, ["completion", "tools", "thinking"]);
    assert.equal(info.model_info["general.architecture"], "stoke");
  },

  async ps() {
    const { models } = await client.ps();
    assert.equal(models.length, 3);
    assert.ok(Date.parse(models[0].expires_at) > Date.now());
  },

  async chat() {
    const reply = await client.chat({ model: "poet", messages: asks("Say hello.") });
    assert.ok(reply.done && reply.done_reason === "stop" && reply.message.role === "assistant" && reply.message.content);
    assert.ok(reply.eval_count > 0 && reply.prompt_eval_count > 0 && reply.total_duration > 0);
  },

  async a_stream_says_what_the_whole_does() {
    const whole = await client.chat({ model: "poet", messages: asks("Say hello.") });
    const parts = await collect(await client.chat({ model: "poet", messages: asks("Say hello."), stream: true }));
    assert.equal(parts.map((p) => p.message.content).join(""), whole.message.content);
    assert.equal(parts.findIndex((p) => p.done), parts.length - 1);
  },

  async the_agents_own_tools_are_thoughts() {
    const parts = await collect(await client.chat({ model: "clerk", messages: asks("What is 17 * 23?"), stream: true }));
    assert.match(parts.map((p) => p.message.thinking ?? "").join(""), /^> calculator /);
    assert.match(parts.map((p) => p.message.content).join(""), /391/);
    assert.ok(parts.every((p) => !p.message.tool_calls));
  },

  async think_false_hides_them() {
    const reply = await client.chat({ model: "clerk", messages: asks("What is 17 * 23?"), think: false });
    assert.equal(reply.message.thinking, undefined);
    assert.match(reply.message.content, /391/);
  },

  async a_tool_of_the_client() {
    for (const stream of [false, true]) {
      const asked = asks("What is the weather in Oslo?");
      const reply = await client.chat({ model: "poet", messages: asked, tools: [weather], stream });
      const calls = (stream ? await collect(reply) : [reply]).flatMap((p) => p.message.tool_calls ?? []);
      assert.deepEqual(calls.map((c) => [c.function.name, c.function.arguments]), [["get_weather", { city: "Oslo" }]]);
      const answer = await client.chat({ model: "poet", tools: [weather], messages: [...asked,
        { role: "assistant", content: "", tool_calls: calls }, { role: "tool", content: "rain", tool_name: "get_weather" }] });
      assert.match(answer.message.content, /rain/);
    }
  },

  async format_shapes_the_answer() {
    const reply = await client.chat({ model: "poet", messages: asks("I am 42"), format: ages });
    assert.ok(Number.isInteger(JSON.parse(reply.message.content).age));
  },

  async generate() {
    const reply = await client.generate({ model: "poet", prompt: "Hello", system: "Be brief." });
    assert.ok(reply.done && reply.response);
    const parts = await collect(await client.generate({ model: "poet", prompt: "Hello", stream: true }));
    assert.ok(parts.length > 1 && parts.at(-1).done);
  },

  async pull_of_what_is_there() {
    assert.equal((await client.pull({ model: "poet" })).status, "success");
  },

  async what_agents_cannot() {
    const refused = (status) => (e) => e.status_code === status && e.message.length > 10;
    await assert.rejects(client.embed({ model: "poet", input: "a" }), refused(400));
    await assert.rejects(client.create({ model: "x", from: "poet" }), refused(403));
    await assert.rejects(client.delete({ model: "poet" }), refused(403));
    await assert.rejects(client.copy({ source: "poet", destination: "x" }), refused(403));
  },

  async an_unknown_model_is_404_with_a_suggestion() {
    await assert.rejects(client.chat({ model: "peot", messages: asks("?") }),
      (e) => e.status_code === 404 && /model 'peot' not found \(did you mean poet\?\)/.test(e.message));
  },

  async a_stream_can_be_left() {
    const stream = await client.chat({ model: "poet", messages: asks("word ".repeat(200)), stream: true });
    await assert.rejects(async () => { for await (const _ of stream) stream.abort(); }, { name: "AbortError" });
    assert.ok((await client.chat({ model: "poet", messages: asks("Say hello.") })).done);
  },
});
