// Shows new entries as they come, without moving what is being read.
const entries = document.getElementById("entries");
const count = document.getElementById("count");
setInterval(async () => {
  if (document.hidden || !window.getSelection().isCollapsed) return;
  if (entries.querySelector("details[open]")) return;
  try {
    const reply = await fetch("/outbox");
    if (!reply.ok) return;
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = page.getElementById("entries");
    if (fresh.innerHTML === entries.innerHTML) return;
    entries.replaceChildren(...fresh.childNodes);
    count.textContent = page.getElementById("count").textContent;
  } catch {
    // The runner is restarting; the next round finds it.
  }
}, 2000);
