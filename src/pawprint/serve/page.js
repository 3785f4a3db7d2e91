import * as camera from "./camera.js";
import { Card, answer, named, reason } from "./cards.js";
import { Photo, Queue, csv } from "./photos.js";

const NEAR = "60% 0%"; // of the window: where pictures are loaded before they are seen
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const OF_FOLDERS = /\.(avif|bmp|gif|hei[cf]|jpe?g|jxl|png|tiff?|webp)$/i;
const ORDER = ["known", "unknown", "error", "open"]; // of answers in the summary

const by = (id) => document.getElementById(id);
const queue = new Queue(changed);
const cards = new Map(); // by photo
const cardOf = new WeakMap(); // by its element
const unsaid = new Set(); // photos whose answer was not read out yet
let model; // what /model says
let drawing = false; // whether the summary comes with the next frame
let shot; // the camera's newest photo

const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) cardOf.get(target).near = isIntersecting;
  },
  { rootMargin: NEAR },
);

// Words

function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function mebibytes(bytes) {
  return `${(bytes / 2 ** 20).toLocaleString("en", { maximumFractionDigits: 1 })} MiB`;
}

/** Names in a row: cat, dog or bird. */
function listed(names, last) {
  const but = names.slice(0, -1).join(", ");
  return but ? `${but} ${last} ${names.at(-1)}` : names.join();
}

// The whole page

/** Told by the queue of a photo that changed, or of none when the whole has. */
function changed(photo) {
  cards.get(photo)?.show();
  if (photo?.status === "settled") unsaid.add(photo);
  if (photo && photo === shot) camera.say(told(photo));
  document.querySelector("main").setAttribute("aria-busy", String(!model || queue.busy));
  showHalt();
  if (!drawing) requestAnimationFrame(showSummary);
  drawing = true;
}

/** How many photos have which answer, the most frequent first. */
function tally() {
  const counts = new Map();
  for (const photo of queue.photos) {
    const [kind, said] = answer(photo);
    const words = kind === "open" ? "to come" : said;
    const key = `${kind} ${words}`; // a class may be called as something else is
    const row = counts.get(key) ?? { kind, words, count: 0 };
    row.count += 1;
    counts.set(key, row);
  }
  const place = ({ kind }) => ORDER.indexOf(kind);
  return [...counts.values()].sort(
    (one, other) => place(one) - place(other) || other.count - one.count,
  );
}

function showSummary() {
  drawing = false;
  const many = queue.photos.length;
  const counts = tally();
  const total = document.createElement("strong");
  total.textContent = counted(many, "photo");
  const chips = counts.map(({ kind, words, count }) => {
    const chip = document.createElement("span");
    chip.className = `chip ${kind}`;
    chip.append(`${count.toLocaleString("en")} `, named(words));
    return chip;
  });
  by("answers").hidden = many === 0;
  by("summary").replaceChildren(total, ...chips.flatMap((chip) => [" ", chip]));
  by("progress").hidden = !queue.busy;
  by("progress").max = many || 1;
  by("progress").value = queue.photos.filter((photo) => !photo.lacks(queue.heatmaps)).length;
  if (!queue.busy) announce(many, counts);
}

/** Read out what is new, once all is there. */
function announce(many, counts) {
  const fresh = [...unsaid].filter((photo) => cards.has(photo));
  unsaid.clear();
  if (fresh.length === 0) return;
  const parts = counts.map(({ words, count }) => `${count} ${words}`);
  const all = `${counted(many, "photo")}: ${parts.join(", ")}.`;
  by("said").textContent = fresh.length === 1 ? told(fresh[0]) : all;
}

/** A photo's name and answer in one breath. */
function told(photo) {
  const words = answer(photo).slice(1).join(", ");
  return `${photo.name}: ${words}. ${reason(photo, queue.heatmaps)}`.trim();
}

function showHalt() {
  by("fault").hidden = queue.halted !== "silent";
  const asks = queue.halted === "token";
  if (asks === !by("ask-token").hidden) return;
  by("ask-token").hidden = !asks;
  if (!asks) return;
  const first = "This server asks for a token";
  by("token-label").textContent = queue.token ? "That token was not accepted. Try another" : first;
  by("token").value = "";
  by("token").focus();
}

function hint(words) {
  by("hint").textContent = words;
}

// How photos come and go

/** Put files on the page, each with the name it is shown by, and ask about them. */
function add(files) {
  if (!model || files.length === 0) return [];
  hint("");
  const photos = files.map(({ file, name }) => new Photo(file, name));
  const most = model.limits.body_bytes;
  for (const photo of photos.filter(({ file }) => file.size > most)) {
    const [size, limit] = [photo.file.size, most].map(mebibytes);
    photo.fault = { words: `It has ${size}; the server takes up to ${limit}.`, again: false };
    photo.status = "settled";
    unsaid.add(photo);
  }
  by("photos").prepend(...photos.map(makeCard));
  queue.add(photos);
  return photos;
}

function namedFiles(files) {
  return [...files].map((file) => ({ file, name: file.name }));
}

function makeCard(photo) {
  const card = new Card(photo, queue, model.classes, () => remove(photo));
  cards.set(photo, card);
  cardOf.set(card.element, card);
  near.observe(card.element);
  return card.element;
}

function remove(photo) {
  const { element } = cards.get(photo);
  const next = element.nextElementSibling ?? element.previousElementSibling;
  forget(photo);
  queue.remove(photo);
  (next?.querySelector(".remove") ?? by("choose")).focus();
}

function forget(photo) {
  const card = cards.get(photo);
  near.unobserve(card.element);
  card.near = false;
  card.element.remove();
  cards.delete(photo);
}

function clear() {
  [...cards.keys()].forEach(forget);
  queue.clear();
  by("said").textContent = "All photos were removed.";
  by("choose").focus();
}

/** The photos of a folder and of the folders in it. */
async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, name: entry.fullPath.slice(1) }];
  }
  const reader = entry.createReader();
  const inside = [];
  for (let some = [entry]; some.length > 0; inside.push(...some)) {
    some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  }
  const photos = inside.filter(({ isFile, name }) => !isFile || OF_FOLDERS.test(name));
  photos.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
  return (await Promise.all(photos.map(walk))).flat();
}

async function drop(event) {
  event.preventDefault();
  document.body.classList.remove("over");
  const files = namedFiles(event.dataTransfer.files); // it is empty after this turn
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry());
  if (!entries.some((entry) => entry?.isDirectory)) {
    if (files.length === 0) hint("There was no photo in what was dropped.");
    add(files);
    return;
  }
  const found = (await Promise.all(entries.filter(Boolean).map(walk))).flat();
  if (found.length === 0) hint("There is no photo in that folder.");
  add(found);
}

function paste(event) {
  if (event.target.matches("input")) return;
  const files = namedFiles(event.clipboardData.files);
  if (files.length === 0) hint("There is no photo in what was pasted.");
  add(files);
}

function chosen(event) {
  const files = namedFiles(event.target.files);
  event.target.value = ""; // so that the same may be chosen again
  add(files);
}

function download() {
  const file = new Blob([csv(queue.photos, model.classes)], { type: "text/csv;charset=utf-8" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = "predictions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// The beginning

function listen() {
  by("choose").addEventListener("click", () => by("files").click());
  for (const id of ["files", "snapshot"]) by(id).addEventListener("change", chosen);
  document.addEventListener("paste", paste);
  document.addEventListener("drop", drop);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("over");
  });
  by("heatmaps").addEventListener("change", () => {
    by("legend").hidden = !by("heatmaps").checked;
    queue.draw(by("heatmaps").checked);
    for (const card of cards.values()) card.show();
  });
  by("download").addEventListener("click", download);
  by("clear").addEventListener("click", clear);
  by("resume").addEventListener("click", () => (model ? queue.resume() : start()));
  by("ask-token").addEventListener("submit", (event) => {
    event.preventDefault();
    queue.resume(by("token").value.trim());
  });
}

/** Offer the camera: in a dialog, or the phone's own where the browser lends none to pages. */
function offerCamera() {
  if (camera.allowed) {
    camera.prepare((file) => {
      [shot] = add([{ file, name: file.name }]);
    });
  } else {
    by("take").addEventListener("click", () => by("snapshot").click());
  }
  by("take").hidden = !camera.allowed && !matchMedia("(pointer: coarse)").matches;
}

function introduce() {
  const { name, classes, version, heatmap } = model;
  const few = listed(classes, "or");
  const short = few.length < 60;
  by("question").textContent = short ? `${few}?` : `Which of ${classes.length} is it?`;
  document.title = `${by("question").textContent} – pawprint`;
  const knows = short ? listed(classes, "and") : `${classes.length} classes`;
  const who = `Answered by the model ${name}, which knows ${knows}`;
  by("model").textContent = `${who} (pawprint ${version}).`;
  const { hostname } = location;
  const where = LOOPBACK.test(hostname) ? "this computer" : hostname;
  by("privacy").textContent = `Photos go to ${where} only, and are not kept.`;
  by("all-classes").hidden = short;
  by("classes").textContent = classes.join(", ");
  by("heatmaps-label").hidden = !heatmap;
}

async function start() {
  try {
    const response = await fetch("model");
    if (!response.ok) throw new Error(response.statusText);
    model = await response.json();
  } catch {
    queue.halted = "silent";
    changed();
    return;
  }
  introduce();
  queue.halted = model.token ? "token" : "";
  changed();
}

listen();
offerCamera();
start();
