// Renews the parts of the page that are marked data-live, each 5 seconds; without it the page works as well.
"use strict";

const SECONDS = 5;
const pulse = document.getElementById("pulse");

function tell(text) {
  pulse.textContent = text;
  pulse.hidden = text === "";
}

// A form being filled in, a selection being copied or a focus being kept must not be swept away.
function isInUse(part) {
  const selection = document.getSelection();
  const selects = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  const edited = [...part.querySelectorAll("input")].some(
    (input) => input.value !== input.defaultValue || input.checked !== input.defaultChecked,
  );
  return selects || edited || part.contains(document.activeElement);
}

function renew(part, fresh) {
  const next = fresh.getElementById(part.id);
  if (!next || next.innerHTML === part.innerHTML) return;
  for (const open of part.querySelectorAll("details[id]")) {
    const same = next.querySelector(`#${open.id}`);
    if (same) same.open = open.open;
  }
  part.replaceWith(next);
}

async function refresh() {
  const parts = [...document.querySelectorAll("[data-live]")];
  if (document.hidden) return;
  if (parts.some(isInUse)) return tell("paused while you work here");
  try {
    const answer = await fetch(location.origin + location.pathname + location.search, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (parts.some(isInUse)) return;
    parts.forEach((part) => renew(part, fresh));
    tell("");
  } catch {
    tell("not renewed: no answer");
  }
}

setInterval(refresh, SECONDS * 1000);
