/** A request for chat completions as code that works when it is pasted. */
import { button, copy, h } from "./dom.js";
import { texts } from "./texts.js";

const LANGUAGES = ["cURL", "Python", "JavaScript", "OpenAI SDK"];

/**
 * @param {string} language one of `LANGUAGES`
 * @param {string} base the API's address, as in `http://localhost:8000/v1`
 * @param {string} token
 * @param {object} body
 * @returns {string}
 */
function snippet(language, base, token, body) {
  const json = JSON.stringify(body, null, 2);
  const url = JSON.stringify(`${base}/chat/completions`);
  const bearer = JSON.stringify(`Bearer ${token}`);
  switch (language) {
    case "Python":
      return `import json
import requests

body = json.loads(${JSON.stringify(JSON.stringify(body))})
answer = requests.post(
    ${url},
    headers={"Authorization": ${bearer}},
    json=body,
)
print(answer.json()["choices"][0]["message"]["content"])
`;
    case "JavaScript":
      return `const answer = await fetch(${url}, {
  method: "POST",
  headers: { Authorization: ${bearer}, "Content-Type": "application/json" },
  body: JSON.stringify(${json}),
});
console.log((await answer.json()).choices[0].message.content);
`;
    case "OpenAI SDK":
      return `import json
from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(base)}, api_key=${JSON.stringify(token)})
body = json.loads(${JSON.stringify(JSON.stringify(body))})
print(client.chat.completions.create(**body).choices[0].message.content)
`;
    default:
      return `curl -s ${shell(`${base}/chat/completions`)} \\
  -H ${shell(`Authorization: Bearer ${token}`)} \\
  -H 'Content-Type: application/json' \\
  -d ${shell(json)}
`;
  }
}

/**
 * A word for a shell, whatever is in it.
 * @param {string} text
 */
function shell(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * Shows a request as code, without the token; copies it with the token.
 * @param {import("./gateway.js").Gateway} gateway
 * @param {() => object} body
 */
export function codeChooser(gateway, body) {
  const select = h(
    "select",
    { "aria-label": texts.request.language, onchange: () => show() },
    LANGUAGES.map((language) => h("option", {}, language)),
  );
  const code = h("pre", { tabindex: 0, class: "code", "aria-label": texts.request.code });
  const written = (/** @type {string} */ token) =>
    snippet(select.value, gateway.url("v1"), token, body());
  const show = () => (code.textContent = written(texts.request.hidden));
  const copyIt = () => copy(written(gateway.session.current?.token ?? ""), texts.request.secret);
  show();
  return h("div", {}, h("div", { class: "row spread" }, select, button(texts.copy, copyIt)), code);
}
