// A photo's card on the page, and the words for what the server said of it.

const FEW = 4; // classes that all have a bar at once; of more, the most probable
const BARS = 3;
const LONG = 10; // letters of a class: its bar stands below it, not beside it

/** A name as it is, whatever direction its letters run in. */
export function named(name) {
  const element = document.createElement("bdi");
  element.textContent = name;
  return element;
}

/** A share; one that would be rounded to none or all is `more` or `less` than another. */
function percent(probability, more = "over", less = "under") {
  if (probability > 0.999) return `${more}\u00a099.9\u00a0%`;
  if (probability < 0.001) return `${less}\u00a00.1\u00a0%`;
  return `${(100 * probability).toFixed(1)}\u00a0%`;
}

/** What kind of answer a photo has, the answer, and how sure it is where it is a class. */
export function answer({ row, fault, unknown, status }) {
  if (row?.error) return ["error", "could not be read"];
  if (unknown) return ["unknown", "don't know"];
  if (row) return ["known", row.label, percent(row.probability)];
  if (fault) return ["error", "no answer"];
  return ["open", status === "asked" ? "looking …" : "waiting"];
}

/** What is to be said besides the answer. */
export function reason({ row, fault, unknown, status }, heatmaps) {
  const words = [];
  if (row?.error) words.push(row.error);
  if (unknown) words.push("This is too unlike the photos trained on.");
  if (status === "waiting") words.push("The server is busy; it is asked again in a moment.");
  if (fault) words.push(row ? `No heat-map: ${fault.words}` : fault.words);
  else if (heatmaps && row?.heatmap === null && !row.error) words.push("It has no heat-map.");
  return words.join(" ");
}

export class Card {
  /** The address of the photo's file, while the card is near the window. */
  #address = "";
  #source = ""; // of the picture in the frame
  #opened = false; // whether all bars are shown

  /** `queue` asks about the photo, `classes` are the model's, `remove` is what its button does. */
  constructor(photo, queue, classes, remove) {
    Object.assign(this, { photo, queue, classes });
    this.element = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.part(".path").textContent = photo.name;
    this.part(".remove").setAttribute("aria-label", `Remove ${photo.name}`);
    this.part(".remove").addEventListener("click", remove);
    this.part(".again").addEventListener("click", () => queue.again(photo));
    this.part(".more-bars").addEventListener("click", () => {
      this.#opened = !this.#opened;
      this.#showBars();
    });
    this.show();
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  show() {
    const { photo, queue } = this;
    const [kind, words, probability] = answer(photo);
    const drawn = photo.row && photo.lacks(queue.heatmaps);
    this.element.className = `card ${kind}${drawn ? " drawn" : ""}`;
    this.part("h2").replaceChildren(named(words), ...(probability ? [`, ${probability}`] : []));
    this.part(".why").textContent = reason(photo, queue.heatmaps);
    this.part(".again").hidden = !photo.fault?.again;
    if (photo.row && !photo.row.error) this.#showBars();
    this.#showPicture();
  }

  /** Load the picture where the card is near the window, and let go of it elsewhere. */
  set near(near) {
    if (near === (this.#address !== "")) return;
    if (!near) URL.revokeObjectURL(this.#address);
    this.#address = near ? URL.createObjectURL(this.photo.file) : "";
    this.#showPicture();
  }

  /** Show how probable the classes are: all, the most probable, or none of what is not known. */
  #showBars() {
    const { row, unknown } = this.photo;
    const bars = this.classes.map((label) => [label, row.probabilities[label]]);
    const few = bars.length <= FEW;
    if (!few) bars.sort((one, other) => other[1] - one[1]);
    const closed = unknown ? 0 : few ? bars.length : BARS;
    const shown = this.#opened ? bars : bars.slice(0, closed);
    this.part("table").hidden = shown.length === 0;
    this.part("table").classList.toggle("long", bars.some(([label]) => label.length > LONG));
    this.part("tbody").replaceChildren(...shown.map((pair) => bar(...pair, row.label)));
    const more = this.part(".more-bars");
    const offer = unknown ? "What it would say" : `Show all ${bars.length}`;
    more.hidden = closed === bars.length;
    more.textContent = this.#opened ? "Show less" : offer;
    more.setAttribute("aria-expanded", String(this.#opened));
  }

  #showPicture() {
    const heatmap = this.queue.heatmaps && this.photo.row?.heatmap;
    const source = this.#address && (heatmap || this.#address);
    if (this.#source === source) return;
    this.#source = source;
    const frame = this.part(".frame");
    frame.classList.remove("none");
    frame.replaceChildren();
    if (!source) return;
    const image = new Image();
    image.alt = `${heatmap ? "Heat-map of" : "Photo"} ${this.photo.name}`;
    image.decoding = "async";
    image.addEventListener("error", () => {
      if (this.#source !== source) return; // another has come meanwhile
      frame.classList.add("none");
      frame.replaceChildren("This browser cannot show it");
    });
    image.src = source;
    frame.append(image);
  }
}

function bar(label, probability, answered) {
  const row = document.createElement("tr");
  const [name, cell, number] = ["th", "td", "td"].map((tag) => document.createElement(tag));
  row.className = label === answered ? "answer" : "";
  name.scope = "row";
  name.append(named(label));
  cell.className = "bar";
  cell.append(document.createElement("span"));
  cell.firstChild.style.width = `${100 * probability}%`;
  number.className = "number";
  number.textContent = percent(probability, ">", "<");
  row.append(name, cell, number);
  return row;
}
