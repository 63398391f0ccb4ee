// OpenAI's JavaScript client.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI, { BadRequestError, NotFoundError, toFile } from "openai";
import { GATEWAY, MODEL, TOKEN, UNKNOWN } from "./gateway.mjs";
import { dataUrl, picture, received, saw, upload } from "./gateway.mjs";

const client = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: TOKEN, maxRetries: 0 });
const storing = new OpenAI({ baseURL: `${GATEWAY}/store/v1`, apiKey: TOKEN, maxRetries: 0 });

const chat = (...parts) => ({ model: MODEL, messages: [{ role: "user", content: parts }] });
const image = (url) => ({ type: "image_url", image_url: { url } });
const response = (...parts) => ({ model: MODEL, input: [{ role: "user", content: parts }] });

test("ids in their order", async () => {
  const parts = [image(await upload("one.png")), image(await upload("two.png"))];
  const answer = await client.chat.completions.create(chat(...parts));
  assert.equal(answer.choices[0].message.content, saw("one.png", "two.png"));
  assert.ok(answer.usage.total_tokens > 0);
  assert.ok(answer._request_id);
});

test("a file id", async () => {
  const part = { type: "file", file: { file_id: await upload("one.png") } };
  const answer = await client.chat.completions.create(chat(part));
  assert.equal(answer.choices[0].message.content, saw("one.png"));
});

test("inline bytes, as they are and stored", async () => {
  for (const each of [client, storing]) {
    const answer = await each.chat.completions.create(chat(image(dataUrl("two.png"))));
    assert.equal(answer.choices[0].message.content, saw("two.png"));
    assert.equal((await received()).includes("base64"), each === client);
  }
});

test("a stream with its usage", async () => {
  const request = chat(image(await upload("one.png")));
  const stream = client.chat.completions.stream({
    ...request,
    stream_options: { include_usage: true },
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  assert.equal(text, saw("one.png"));
  assert.ok((await stream.totalUsage()).completion_tokens > 0);
});

test("an unknown id is an error that names its place", async () => {
  await assert.rejects(client.chat.completions.create(chat(image(UNKNOWN))), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.code, "media_not_found");
    assert.equal(error.param, "messages[0].content[0].image_url.url");
    return true;
  });
});

test("a response by id, by file id and to stored bytes", async () => {
  const id = await upload("one.png");
  for (const part of [{ image_url: id }, { file_id: id }]) {
    const answer = await client.responses.create(response({ type: "input_image", ...part }));
    assert.equal(answer.output_text, saw("one.png"));
  }
  const part = { type: "input_image", image_url: dataUrl("two.png") };
  assert.equal((await storing.responses.create(response(part))).output_text, saw("two.png"));
});

test("a response as a stream", async () => {
  const part = { type: "input_image", file_id: await upload("one.png") };
  const stream = client.responses.stream(response(part));
  let text = "";
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, saw("one.png"));
  assert.equal((await stream.finalResponse()).output_text, text);
});

test("a file is created, used, listed, read and deleted", async () => {
  const file = await toFile(picture("three.png"), "three.png", { type: "image/png" });
  const made = await client.files.create({ file, purpose: "vision" });
  assert.equal(made.filename, "three.png");
  const answer = await client.responses.create(
    response({ type: "input_image", file_id: made.id }),
  );
  assert.equal(answer.output_text, saw("three.png"));
  const ids = [];
  for await (const each of client.files.list()) ids.push(each.id);
  assert.ok(ids.includes(made.id));
  const content = Buffer.from(await (await client.files.content(made.id)).arrayBuffer());
  assert.deepEqual(content, picture("three.png"));
  assert.ok((await client.files.delete(made.id)).deleted);
  await assert.rejects(client.files.retrieve(made.id), NotFoundError);
});

test("the models", async () => {
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
});
