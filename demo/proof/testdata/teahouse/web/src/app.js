import { h, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import htm from "htm";

const html = htm.bind(h);

function Menu() {
  const [text, setText] = useState("…");
  useEffect(() => {
    fetch("/menu").then((r) => r.text()).then(setText);
  }, []);
  return html`<main dangerouslySetInnerHTML=${{ __html: text }} />`;
}

render(html`<${Menu} />`, document.body);
