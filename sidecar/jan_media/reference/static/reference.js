// Starts Swagger UI, with this gateway's address in all examples, and lists what is on the page.

const gateway = new URL("..", location.href).href.replace(/\/$/, "");

// What the viewer leaves out: names of its lists of choices and of its parts, an order of headings.
const NAMES = { servers: "Server", "content-type": "Type of the body" };
const PLACES = { ".information-container": "About", ".schemes-server-container": "Server" };

function tellScreenReaders() {
  for (const select of document.querySelectorAll("select:not([aria-label])")) {
    select.ariaLabel = NAMES[select.id] ?? NAMES[select.className] ?? "Example";
  }
  for (const heading of document.querySelectorAll(".info .description h1")) {
    heading.ariaLevel = "2";
  }
  for (const [place, name] of Object.entries(PLACES)) {
    for (const found of document.querySelectorAll(place)) {
      found.role = "region";
      found.ariaLabel = name;
    }
  }
}

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
  syntaxHighlight: { theme: "obsidian" }, // the others have colours too pale to read
  validatorUrl: null, // nothing is sent elsewhere
  responseInterceptor: (answer) => {
    if (answer.url.endsWith("/docs/openapi.json")) {
      answer.text = answer.text.replaceAll("http://localhost:8000", gateway);
    }
    return answer;
  },
  onComplete: () => {
    listSections();
    tellScreenReaders();
    new MutationObserver(tellScreenReaders).observe(document.getElementById("reference"), {
      childList: true,
      subtree: true,
    });
  },
});
