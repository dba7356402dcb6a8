// npm: openai, against agents:  PEERS=FOLDER node openai.mjs URL
import assert from "node:assert/strict";
import { ages, collect, load, run, weather } from "./checks.mjs";

const { default: OpenAI, NotFoundError, BadRequestError } = await load("openai");
const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "any", maxRetries: 0 });
const asks = (content) => [{ role: "user", content }];
const { completions } = client.chat;

await run({
  async models() {
    const list = await collect(client.models.list());
    assert.deepEqual(list.map((m) => m.id), ["clerk", "desk", "poet"]);
    assert.equal((await client.models.retrieve("poet")).object, "model");
  },

  async chat() {
    const reply = await completions.create({ model: "poet", messages: asks("Say hello.") });
    assert.equal(reply.object, "chat.completion");
    assert.ok(reply.choices[0].message.content && reply.choices[0].finish_reason === "stop");
    assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
  },

  async a_stream_with_usage() {
    const parts = await collect(await completions.create({ model: "poet", messages: asks("Say hello."), stream: true,
      stream_options: { include_usage: true } }));
    const whole = await completions.create({ model: "poet", messages: asks("Say hello.") });
    assert.equal(parts.map((p) => p.choices[0]?.delta.content ?? "").join(""), whole.choices[0].message.content);
    assert.deepEqual(parts.at(-1).choices, []);
    assert.ok(parts.at(-1).usage.completion_tokens > 0);
    assert.equal(parts.at(-2).choices[0].finish_reason, "stop");
  },

  async the_helper_that_gathers_a_stream() {
    const final = await completions.stream({ model: "clerk", messages: asks("What is 17 * 23?") }).finalChatCompletion();
    assert.match(final.choices[0].message.content, /391/);
    assert.equal(final.choices[0].finish_reason, "stop");
  },

  async a_tool_of_the_client_run_by_the_library() {
    for (const stream of [false, true]) {
      let asked;
      const runner = completions.runTools({ model: "poet", messages: asks("What is the weather in Oslo?"), stream, tools: [{
        type: "function", function: { ...weather.function, parse: JSON.parse, function: (args) => { asked = args; return "rain"; } } }] });
      assert.match(await runner.finalContent(), /rain/);
      assert.deepEqual(asked, { city: "Oslo" });
    }
  },

  async deltas_of_a_call_have_an_index() {
    const parts = await collect(await completions.create({ model: "poet", messages: asks("What is the weather in Oslo?"),
      tools: [weather], stream: true }));
    const calls = parts.flatMap((p) => p.choices[0]?.delta.tool_calls ?? []);
    assert.ok(calls.length > 0 && calls.every((c) => c.index === 0));
    assert.deepEqual(JSON.parse(calls.map((c) => c.function.arguments).join("")), { city: "Oslo" });
    assert.equal(parts.at(-1).choices[0].finish_reason, "tool_calls");
  },

  async json_schema() {
    const reply = await completions.parse({ model: "poet", messages: asks("I am 42"),
      response_format: { type: "json_schema", json_schema: { name: "ages", strict: true, schema: ages } } });
    assert.ok(Number.isInteger(JSON.parse(reply.choices[0].message.content).age));
  },

  async json_object() {
    const reply = await completions.create({ model: "poet", messages: asks("I am 42"), response_format: { type: "json_object" } });
    assert.equal(typeof JSON.parse(reply.choices[0].message.content), "object");
  },

  async completions_of_a_prompt() {
    assert.ok((await client.completions.create({ model: "poet", prompt: "Hello" })).choices[0].text);
    const parts = await collect(await client.completions.create({ model: "poet", prompt: "Hello", stream: true }));
    assert.ok(parts.map((p) => p.choices[0].text).join("") && parts.at(-1).choices[0].finish_reason === "stop");
  },

  async responses() {
    const reply = await client.responses.create({ model: "poet", input: "Say hello.", store: false });
    assert.match(reply.output_text, /Say hello\./);
    assert.ok(reply.status === "completed" && reply.usage.total_tokens > 0);
  },

  async responses_that_go_on() {
    const first = await client.responses.create({ model: "clerk", input: "Say hello." });
    const second = await client.responses.create({ model: "clerk", input: "What is 17 * 23?", previous_response_id: first.id });
    assert.match(second.output_text, /391/);
  },

  async a_streamed_response() {
    const stream = client.responses.stream({ model: "poet", input: "Say hello." });
    const kinds = (await collect(stream)).map((event) => event.type);
    assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", "response.completed"]);
    assert.match((await stream.finalResponse()).output_text, /Say hello\./);
  },

  async a_response_that_calls() {
    const tools = [{ type: "function", strict: false, ...weather.function }];
    const first = await client.responses.create({ model: "poet", input: "What is the weather in Oslo?", tools });
    const call = first.output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "Oslo" });
    const second = await client.responses.create({ model: "poet", previous_response_id: first.id, tools,
      input: [{ type: "function_call_output", call_id: call.call_id, output: "rain" }] });
    assert.match(second.output_text, /rain/);
  },

  async errors_are_its_own_classes() {
    await assert.rejects(completions.create({ model: "peot", messages: asks("?") }), (e) => e instanceof NotFoundError
      && e.code === "model_not_found" && /did you mean poet\?/.test(e.message));
    await assert.rejects(completions.create({ model: "poet", messages: [] }), (e) => e instanceof BadRequestError
      && e.type === "invalid_request_error");
    await assert.rejects(client.embeddings.create({ model: "poet", input: "a" }), BadRequestError);
  },

  async a_stream_can_be_left() {
    const stream = await completions.create({ model: "poet", messages: asks("word ".repeat(200)), stream: true });
    for await (const _ of stream) break;
    assert.ok((await completions.create({ model: "poet", messages: asks("Say hello.") })).choices[0].message.content);
  },
});
