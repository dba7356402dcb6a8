// npm: @langchain/ollama, ai with @ai-sdk/openai-compatible, against agents:  PEERS=FOLDER node others.mjs URL
import assert from "node:assert/strict";
import { ages, collect, load, run, weather } from "./checks.mjs";

const url = process.argv[2];
const { ChatOllama } = await load("@langchain/ollama");
const { generateText, streamText, jsonSchema, tool, stepCountIs, Output } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const compatible = createOpenAICompatible({ name: "stoke", baseURL: `${url}/v1`, apiKey: "any", includeUsage: true,
  supportsStructuredOutputs: true });

await run({
  async langchain_invokes_and_streams() {
    const model = new ChatOllama({ model: "poet", baseUrl: url });
    const whole = await model.invoke("Say hello.");
    const parts = await collect(await model.stream("Say hello."));
    assert.ok(whole.content && whole.usage_metadata.total_tokens > 0);
    assert.equal(parts.map((p) => p.content).join(""), whole.content);
  },

  async langchain_structured_output() {
    const model = new ChatOllama({ model: "poet", baseUrl: url }).withStructuredOutput(ages);
    assert.ok(Number.isInteger((await model.invoke("I am 42")).age));
  },

  async langchain_lends_a_tool() {
    const model = new ChatOllama({ model: "poet", baseUrl: url }).bindTools([weather]);
    const reply = await model.invoke("What is the weather in Oslo?");
    assert.deepEqual(reply.tool_calls.map((c) => [c.name, c.args]), [["get_weather", { city: "Oslo" }]]);
    const answer = await model.invoke([["user", "What is the weather in Oslo?"], reply,
      { role: "tool", content: "rain", tool_call_id: reply.tool_calls[0].id ?? "1", name: "get_weather" }]);
    assert.match(answer.content, /rain/);
  },

  async langchain_turns() {
    const model = new ChatOllama({ model: "clerk", baseUrl: url });
    const messages = [["system", "Be brief."]];
    for (const text of ["Say hello.", "What is 17 * 23?"]) {
      messages.push(["user", text]);
      messages.push(await model.invoke(messages));
    }
    assert.match(messages.at(-1).content, /391/);
  },

  async ai_text() {
    const { text, usage, finishReason } = await generateText({ model: compatible("poet"), prompt: "Say hello." });
    assert.ok(text && usage.outputTokens > 0 && finishReason === "stop");
  },

  async ai_stream_with_reasoning() {
    const result = streamText({ model: compatible("clerk"), prompt: "What is 17 * 23?" });
    assert.match((await collect(result.textStream)).join(""), /391/);
    assert.match(await result.reasoningText, /> calculator/);
    assert.ok((await result.usage).outputTokens > 0);
  },

  async ai_runs_a_tool_of_its_own() {
    const asked = [];
    const get_weather = tool({ description: "Get the weather in a city", execute: (args) => { asked.push(args); return "rain"; },
      inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }) });
    const settings = { model: compatible("poet"), prompt: "What is the weather in Oslo?", tools: { get_weather }, stopWhen: stepCountIs(3) };
    assert.match((await generateText(settings)).text, /rain/);
    assert.match(await streamText(settings).text, /rain/);
    assert.deepEqual(asked, [{ city: "Oslo" }, { city: "Oslo" }]);
  },

  async ai_turns() {
    const messages = [];
    for (const content of ["Say hello.", "What is 17 * 23?"]) {
      messages.push({ role: "user", content });
      const { response, responseMessages } = await generateText({ model: compatible("clerk"), system: "Be brief.", messages });
      messages.push(...(responseMessages ?? response.messages));
    }
    assert.match(JSON.stringify(messages.at(-1)), /391/);
  },

  async ai_settings_are_hints() {
    const { text } = await generateText({ model: compatible("desk"), prompt: "Say hello.", temperature: 0, maxOutputTokens: 300,
      topP: 0.9, seed: 1, stopSequences: ["###"] });
    assert.ok(text);
  },

  async ai_structured_output() {
    const { output } = await generateText({ model: compatible("poet"), prompt: "I am 42",
      output: Output.object({ schema: jsonSchema(ages) }) });
    assert.ok(Number.isInteger(output.age));
  },
});
