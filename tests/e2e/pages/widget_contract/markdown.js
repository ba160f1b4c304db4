// How the page that speaks the OpenCX widget API (client.js, which is loaded behind this) shows what is not the visitor's:
// like the stock widget as Markdown with raw HTML, unsanitised (contracts/opencx.md 0.10). It must not be used elsewhere.

"use strict";

// Where it becomes dangerous. `commonmark` is a faithful reader that the test lends; the other is careless.
async function markup(element, text) {
  element.innerHTML = options.renderer === "commonmark" ? await window.commonmark(text) : careless(text);
}

function careless(text) {
  const escape = (code) => code.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const quote = (address) => address.trim().replace(/"/g, "%22");
  const unescape = (part) => part.replace(/\\([!-/:-@[-`{-~])/g, "$1");
  const targets = {};
  text = text.replace(/^ {0,3}\[([^\]]+)\]:\s*<?(\S+?)>?[ \t]*$/gm, (_, name, address) => {
    targets[name.toLowerCase()] = unescape(address);
    return "";
  });
  return text
    .split(/(^```[^\n]*\n[\s\S]*?(?:^```[^\n]*$|$(?![\s\S]))|`[^`\n]+`)/m)
    .map((part, index) => {
      if (index % 2) {
        const fence = /^```[^\n]*\n([\s\S]*?)(?:^```[^\n]*)?$/m.exec(part);
        return fence ? `<pre><code>${escape(fence[1])}</code></pre>` : `<code>${escape(part.slice(1, -1))}</code>`;
      }
      return unescape(
        part
          .replace(/!\[([^\]]*)\]\(([^)]*)\)/g, (_, alt, src) => `<img alt="${quote(alt)}" src="${quote(unescape(src))}">`)
          .replace(/\[((?:[^\]]|\][^([])*)\]\(<?([^)]*?)>?\)/g, (_, label, href) => `<a href="${quote(unescape(href))}">${label}</a>`)
          .replace(/\[([^\]]+)\](?:\[([^\]]*)\])?/g, (whole, label, name) => {
            const href = targets[(name || label).toLowerCase()];
            return href ? `<a href="${quote(href)}">${label}</a>` : whole;
          })
          .replace(/<([a-z][a-z0-9+.-]+:[^\s<>]*)>/gi, (_, href) => `<a href="${quote(href)}">${href}</a>`)
          .replace(/\*\*([^*]+)\*\*/g, "<strong>$1</strong>")
          .replace(/\*([^*\s][^*]*)\*/g, "<em>$1</em>")
          .replace(/\n{2,}/g, "<br><br>"),
      );
    })
    .join("");
}
