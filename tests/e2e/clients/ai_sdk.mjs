// The Vercel AI SDK, with its providers of OpenAI, Anthropic and whatever is like OpenAI.
//
// It takes an image as a URL or as base64, and takes any text that is no URL for base64: an id
// becomes `data:image/png;base64,jan_…`, or an Anthropic source with the id as its data.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";
import assert from "node:assert/strict";
import test from "node:test";
import { GATEWAY, MODEL, TOKEN, UNKNOWN, picture, received, saw, upload } from "./gateway.mjs";

const providers = (base) => {
  const options = { baseURL: `${base}/v1`, apiKey: TOKEN };
  const openai = createOpenAI(options);
  return {
    "chat completions": openai.chat(MODEL),
    responses: openai.responses(MODEL),
    anthropic: createAnthropic(options)(MODEL),
    "openai-compatible": createOpenAICompatible({ name: "jan", ...options })(MODEL),
  };
};
const storing = providers(`${GATEWAY}/store`);

const asked = (model, ...images) => {
  const parts = images.map((image) => ({ type: "image", image, mediaType: "image/png" }));
  const content = [{ type: "text", text: "What is this?" }, ...parts];
  return { model, messages: [{ role: "user", content }], maxRetries: 0 };
};

for (const [name, model] of Object.entries(providers(GATEWAY))) {
  test(`${name}: ids in their order`, async () => {
    const ids = [await upload("one.png"), await upload("two.png")];
    const answer = await generateText(asked(model, ...ids));
    assert.equal(answer.text, saw("one.png", "two.png"));
    assert.ok(answer.usage.totalTokens > 0);
  });

  test(`${name}: inline bytes, as they are and stored`, async () => {
    for (const each of [model, storing[name]]) {
      const answer = await generateText(asked(each, picture("two.png")));
      assert.equal(answer.text, saw("two.png"));
      assert.equal((await received()).includes("base64"), each === model);
    }
  });

  test(`${name}: a stream`, async () => {
    const { textStream, finishReason } = streamText(asked(model, await upload("one.png")));
    let text = "";
    for await (const delta of textStream) text += delta;
    assert.equal(text, saw("one.png"));
    assert.equal(await finishReason, "stop");
  });

  test(`${name}: an unknown id is an error that names its place`, async () => {
    await assert.rejects(generateText(asked(model, UNKNOWN)), (error) => {
      assert.ok(APICallError.isInstance(error));
      assert.equal(error.statusCode, 400);
      assert.match(error.message, /^There is no media jan_/);
      const { code, param } = JSON.parse(error.responseBody).error;
      assert.equal(code, "media_not_found");
      assert.match(param, /^(messages|input)\[0\]\.content\[1\]\./);
      return true;
    });
  });
}
