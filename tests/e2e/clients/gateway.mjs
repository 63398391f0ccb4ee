// The gateway under test, as a user of a JavaScript client knows it.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export const { GATEWAY, TOKEN, MODEL_SERVER, PICTURES } = process.env;
export const MODEL = "jan-v2-30b";
export const UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0";

export const picture = (name) => readFileSync(`${PICTURES}/${name}`);
export const base64 = (name) => picture(name).toString("base64");
export const dataUrl = (name) => `data:image/png;base64,${base64(name)}`;

// Uploads a picture by the media API and returns its id.
export async function upload(name) {
  const form = new FormData();
  form.append("file", new Blob([picture(name)]), name);
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const answer = await fetch(`${GATEWAY}/media/v1/media`, { method: "POST", headers, body: form });
  if (!answer.ok) throw new Error(await answer.text());
  return (await answer.json()).id;
}

// What the model says about these pictures, in this order.
export function saw(...names) {
  const lines = names.map((name, at) => {
    const bytes = picture(name);
    const digest = createHash("sha256").update(bytes).digest("hex");
    return `Image ${at + 1}: PNG, 320×200 pixels, ${bytes.length} bytes, sha256 ${digest}.`;
  });
  return [`I see ${names.length} image${names.length > 1 ? "s" : ""}.`, ...lines].join("\n");
}

// The latest request's body as the model received it.
export async function received() {
  const all = await (await fetch(`${MODEL_SERVER}/received`)).json();
  return all.at(-1).body;
}
