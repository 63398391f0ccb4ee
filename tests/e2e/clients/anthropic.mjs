// Anthropic's JavaScript client.
import Anthropic, { BadRequestError, NotFoundError, toFile } from "@anthropic-ai/sdk";
import assert from "node:assert/strict";
import test from "node:test";
import { GATEWAY, MODEL, TOKEN, UNKNOWN } from "./gateway.mjs";
import { base64, picture, received, saw, upload } from "./gateway.mjs";

const client = new Anthropic({ baseURL: GATEWAY, apiKey: TOKEN, maxRetries: 0 });
const storing = new Anthropic({ baseURL: `${GATEWAY}/store`, apiKey: TOKEN, maxRetries: 0 });

const asked = (...sources) => ({
  model: MODEL,
  max_tokens: 1000,
  messages: [{ role: "user", content: sources.map((source) => ({ type: "image", source })) }],
});
const inline = (name) => ({ type: "base64", media_type: "image/png", data: base64(name) });

test("ids in their order, by URL and by file", async () => {
  const sources = [
    { type: "url", url: await upload("one.png") },
    { type: "file", file_id: await upload("two.png") },
  ];
  const answer = await client.messages.create(asked(...sources));
  assert.equal(answer.content[0].text, saw("one.png", "two.png"));
  assert.ok(answer.usage.input_tokens > 0);
  assert.ok(answer._request_id);
});

test("inline bytes, as they are and stored", async () => {
  for (const each of [client, storing]) {
    const answer = await each.messages.create(asked(inline("two.png")));
    assert.equal(answer.content[0].text, saw("two.png"));
    assert.equal((await received()).includes("base64"), each === client);
  }
});

test("a stream", async () => {
  const stream = client.messages.stream(asked({ type: "file", file_id: await upload("one.png") }));
  let text = "";
  stream.on("text", (delta) => (text += delta));
  assert.equal(await stream.finalText(), saw("one.png"));
  assert.equal(text, saw("one.png"));
});

test("the count of tokens", async () => {
  const { max_tokens, ...request } = asked({ type: "file", file_id: await upload("one.png") });
  assert.ok((await client.messages.countTokens(request)).input_tokens > 80);
});

test("a file is uploaded, used, listed, read and deleted", async () => {
  const file = await toFile(picture("three.png"), "three.png", { type: "image/png" });
  const made = await client.files.upload({ file });
  assert.equal(made.filename, "three.png");
  const answer = await client.messages.create(asked({ type: "file", file_id: made.id }));
  assert.equal(answer.content[0].text, saw("three.png"));
  const ids = [];
  for await (const each of client.files.list()) ids.push(each.id);
  assert.ok(ids.includes(made.id));
  const content = Buffer.from(await (await client.files.download(made.id)).arrayBuffer());
  assert.deepEqual(content, picture("three.png"));
  await client.files.delete(made.id);
  await assert.rejects(client.files.retrieveMetadata(made.id), NotFoundError);
});

test("an unknown id is an error that names its place", async () => {
  const request = asked({ type: "file", file_id: UNKNOWN });
  await assert.rejects(client.messages.create(request), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.error.error.param, "messages[0].content[0].source.file_id");
    assert.ok(error.requestID);
    return true;
  });
});
