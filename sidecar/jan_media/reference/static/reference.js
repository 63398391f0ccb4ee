// Starts Swagger UI, with this gateway's address in all examples, and lists what is on the page.

const gateway = new URL("..", location.href).href.replace(/\/$/, "");

function listSections() {
  const nav = document.querySelector("nav");
  const headings = document.querySelectorAll(".info .description h1, h3.opblock-tag");
  for (const heading of headings) {
    const name = heading.dataset.tag ?? heading.textContent.trim();
    heading.id ||= name.toLowerCase().replaceAll(" ", "-");
    const link = document.createElement("a");
    link.href = `#${heading.id}`;
    link.textContent = name;
    nav.append(link);
  }
}

SwaggerUIBundle({
  url: "./openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  defaultModelsExpandDepth: -1, // schemas are shown where they are used
  displayRequestDuration: true,
  validatorUrl: null, // nothing is sent elsewhere
  responseInterceptor: (answer) => {
    if (answer.url.endsWith("/docs/openapi.json")) {
      answer.text = answer.text.replaceAll("http://localhost:8000", gateway);
    }
    return answer;
  },
  onComplete: listSections,
});
