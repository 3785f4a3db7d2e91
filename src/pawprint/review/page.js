"use strict";

const MOST_BUTTONS = 9; // classes with a button and a digit each; more are chosen from a list
const WORDS = { keep: "kept", relabel: "relabelled", exclude: "excluded" };
const LEVELS = { keep: "note", relabel: "warning", exclude: "error" };
const ENDED = "pawprint review no longer answers: start it again, and it goes on here";

const by = (id) => document.getElementById(id);
const photos = new Map(); // by number: the image, and a promise of why it cannot be shown, or ""
let state;
let place = 0; // of the suspect on the page, from 0; their number is the end
let shown = -1; // the suspect whose photo, or why there is none, is on the page
let saving = false;
let said = []; // numbers, in the order in which verdicts were given

async function asked(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error(ENDED);
  }
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

// What is shown

/** A name as it is, whatever direction its letters run in. */
function named(name) {
  const element = document.createElement("bdi");
  element.textContent = name;
  return element;
}

function percent(probability) {
  if (probability > 0.99) return "over 99\u00a0%";
  if (probability < 0.01) return "under 1\u00a0%";
  return `${Math.round(100 * probability)}\u00a0%`;
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** How many verdicts of each kind there are, and in words. */
function tally() {
  const counts = { keep: 0, relabel: 0, exclude: 0 };
  for (const { verdict } of state.suspects) if (verdict) counts[verdict] += 1;
  const open = state.suspects.length - counts.keep - counts.relabel - counts.exclude;
  const words = Object.entries(WORDS).map(([verdict, word]) => `${counts[verdict]} ${word}`);
  return { counts, open, words: words.join(", ") };
}

/** Load a photo, or remember that it is. */
function photo(number) {
  if (!photos.has(number)) {
    const image = new Image();
    image.alt = `Photo ${state.suspects[number].name}`;
    image.src = `photo/${number}`;
    const reason = () => asked(`photo/${number}`).then(() => "", (error) => error.message);
    photos.set(number, { image, fault: image.decode().then(() => "", reason) });
  }
  return photos.get(number);
}

async function showPhoto() {
  const number = place;
  const { image, fault } = photo(number);
  by("frame").replaceChildren();
  const why = await fault;
  if (number !== place) return;
  const none = document.createElement("p");
  none.textContent = `The photo cannot be shown: ${why}. No verdict can be given.`;
  by("frame").classList.toggle("none", why !== "");
  by("frame").replaceChildren(why ? none : image);
  for (const button of verdictButtons()) button.setAttribute("aria-disabled", String(why !== ""));
  shown = number;
  settle();
  for (const near of photos.keys()) if (Math.abs(near - place) > 1) photos.delete(near);
  for (const near of [place + 1, place - 1]) if (state.suspects[near]) photo(near);
}

function verdictButtons() {
  return document.querySelectorAll(".verdicts button, .others button");
}

function showSuspect() {
  const suspect = state.suspects[place];
  const { given, suggested, verdict, label } = suspect;
  by("claim").replaceChildren(
    "Labelled ", named(given), "; the model says ", named(suggested),
    `, ${percent(suspect.suggested_probability)}`,
  );
  by("place").textContent = `${place + 1} of ${state.suspects.length}`;
  by("name").textContent = `${suspect.name} (${suspect.split})`;
  for (const which of ["given", "suggested"]) {
    const probability = suspect[`${which}_probability`];
    by(which).replaceChildren(named(suspect[which]));
    by(`${which}-bar`).style.width = `${100 * probability}%`;
    by(`${which}-probability`).textContent = percent(probability);
  }
  by("keep").lastChild.replaceChildren("Keep ", named(given));
  by("relabel").lastChild.replaceChildren("Relabel ", named(suggested));
  by("verdict").hidden = !verdict;
  by("verdict").className = `badge ${LEVELS[verdict] || ""}`;
  by("verdict").replaceChildren(WORDS[verdict] || "", " ", named(label));
  const pressed = { keep: "keep", exclude: "exclude", relabel: label === suggested && "relabel" };
  for (const id of ["keep", "relabel", "exclude"]) {
    by(id).setAttribute("aria-pressed", String(pressed[verdict] === id));
  }
  const now = verdict === "keep" ? given : label;
  for (const button of by("others").children) {
    button.setAttribute("aria-pressed", String(button.value === now));
  }
  by("other").value = now || suggested;
}

function showEnd() {
  const { open, words } = tally();
  by("outcome").textContent = open ? "This is the end of the list" : "Every suspect has a verdict";
  by("sum").textContent = `${words}${open ? `, ${open} without a verdict` : ""}.`;
  by("first-open").hidden = open === 0;
}

/** Go to a suspect, or to the end; `news` is read out before it. */
function show(to, news = "") {
  place = Math.max(0, Math.min(to, state.suspects.length));
  const ended = place === state.suspects.length;
  const { counts, open, words } = tally();
  by("suspect").hidden = ended;
  by("end").hidden = !ended;
  by("progress").textContent = words;
  const parts = { ...counts, open };
  for (const [part, size] of Object.entries(parts)) {
    by(WORDS[part] || part).style.flexGrow = size;
    by(WORDS[part] || part).hidden = size === 0;
  }
  shown = -1;
  let told;
  if (ended) {
    showEnd();
    told = `${by("outcome").textContent}. ${by("sum").textContent}`;
  } else {
    showSuspect();
    showPhoto();
    told = `${by("place").textContent}. ${by("claim").textContent}`;
  }
  document.title = `${ended ? "The end" : by("place").textContent} – pawprint review`;
  by("said").textContent = `${news} ${told}`.trim();
  const focused = document.activeElement;
  if (focused.closest("[hidden]") || (ended && focused === document.body)) {
    by(ended ? "outcome" : "claim").focus();
  }
  settle();
}

/** Tell whether something is still to come. */
function settle() {
  const waits = place < state.suspects.length && shown !== place;
  document.querySelector("main").setAttribute("aria-busy", String(saving || waits));
}

// What is done

async function save(number, verdict, label = "") {
  saving = true;
  settle();
  try {
    const body = JSON.stringify({ verdict, label });
    const headers = { "Content-Type": "application/json" };
    await asked(`verdict/${number}`, { method: "POST", headers, body });
    Object.assign(state.suspects[number], { verdict, label });
    said = said.filter((other) => other !== number);
    by("fault").hidden = true;
    return true;
  } catch (error) {
    by("fault").textContent = `Not saved: ${error.message}`;
    by("fault").hidden = false;
    return false;
  } finally {
    saving = false;
    settle();
  }
}

/** Give the verdict on the photo that is seen, and go on. */
async function decide(verdict, label = "") {
  if (saving || shown !== place || by("frame").matches(".none")) return;
  const number = place;
  if (await save(number, verdict, label)) {
    said.push(number);
    show(number + 1, `${WORDS[verdict]} ${label}`.trim() + ".");
  }
}

/** Say which class it is. */
function relabel(label) {
  const own = label === state.suspects[place].given;
  return own ? decide("keep") : decide("relabel", label);
}

/** Take back this photo's verdict; where it has none, the last one. */
async function undo() {
  const number = state.suspects[place]?.verdict ? place : said.at(-1);
  if (saving || number === undefined) return;
  if (await save(number, null)) show(number, "Taken back.");
}

function firstOpen() {
  const first = state.suspects.findIndex((suspect) => !suspect.verdict);
  return first < 0 ? state.suspects.length : first;
}

function go(to) {
  if (!saving) show(to);
}

const MOVES = {
  back: () => go(place - 1),
  next: () => go(place + 1),
  open: () => go(firstOpen()),
  undo,
};
const KEYS = {
  k: () => decide("keep"),
  r: () => relabel(state.suspects[place].suggested),
  x: () => decide("exclude"),
  u: undo,
  arrowleft: MOVES.back,
  arrowright: MOVES.next,
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (!by("letters").checked || event.target.matches("select")) return;
  const key = event.key.toLowerCase();
  const ended = place === state.suspects.length;
  const label = by("others").children[Number(key) - 1]?.value;
  if (Object.hasOwn(KEYS, key) && !(ended && "krx".includes(key))) KEYS[key]();
  else if (label !== undefined && !ended) relabel(label);
  else return;
  event.preventDefault();
}

/** Offer every class, where there are more than the two that a suspect names. */
function offerClasses() {
  const { classes } = state;
  by("others").hidden = classes.length < 3 || classes.length > MOST_BUTTONS;
  by("choice").hidden = classes.length <= MOST_BUTTONS;
  by("other").replaceChildren(...classes.map((label) => new Option(label, label)));
  if (by("others").hidden) return;
  for (const [index, label] of classes.entries()) {
    const button = document.createElement("button");
    const key = document.createElement("kbd");
    key.textContent = index + 1;
    Object.assign(button, { type: "button", value: label });
    button.setAttribute("aria-keyshortcuts", index + 1);
    button.append(key, named(label));
    button.addEventListener("click", () => relabel(label));
    by("others").append(button);
  }
}

async function start() {
  try {
    state = await asked("state");
  } catch (error) {
    by("fault").textContent = error.message;
    by("fault").hidden = false;
    return;
  }
  by("source").textContent = state.source;
  const many = state.suspects.length;
  by("about").textContent =
    `${count(many, "label")} of ${state.photos.toLocaleString("en")} may be wrong, ` +
    `the worst first, as judged by ${state.judged_by}; expect about ` +
    `${state.expected.toLocaleString("en")} to be wrong.`;
  by("file").textContent = state.file;
  by("command").textContent = state.command;
  offerClasses();
  for (const verdict of ["keep", "relabel", "exclude"]) {
    by(verdict).addEventListener("click", KEYS[verdict === "exclude" ? "x" : verdict[0]]);
  }
  for (const button of document.querySelectorAll("[data-go]")) {
    button.addEventListener("click", MOVES[button.dataset.go]);
  }
  by("choice").addEventListener("submit", (event) => {
    event.preventDefault();
    relabel(by("other").value);
  });
  document.addEventListener("keydown", pressed);
  show(firstOpen());
}

start();
