// Photos and what the server says of them. Nothing in this file touches the page.

const AT_ONCE = 3; // photos on their way at the same time
const TRIES = 8; // of one photo, while the server is busy
const LONGEST_WAIT = 30; // seconds
const GONE = "The file can no longer be read: it was moved, changed or taken away.";

const FORMULA = /^[=+\-@\t\r]/; // what a spreadsheet would compute
const QUOTED = /[",\r\n]/;
const BEYOND_ASCII = /[^\0-\x7f]/;
const MARK = "\ufeff"; // by which spreadsheets know UTF-8; left out where it makes no difference

/** One photo, its answer, or why there is none. */
export class Photo {
  /** The answer, as a row of /predict; its `heatmap` is undefined while none was asked for. */
  row = null;
  /** Why there is no answer, or no heat-map: in words, and whether another try may help. */
  fault = null;
  /** Whether it is "queued", "asked", "waiting" for a busy server, or "settled". */
  status = "queued";
  /** Stops what is on its way when the photo is taken off the page. */
  removed = new AbortController();

  constructor(file, name) {
    this.file = file;
    this.name = name;
  }

  get unknown() {
    return this.row !== null && this.row.error === null && this.row.probability === null;
  }

  /** Whether the server has still to be asked. */
  lacks(heatmaps) {
    if (this.fault) return false;
    return !this.row || (heatmaps && this.row.error === null && this.row.heatmap === undefined);
  }
}

/** Asks about photos, the first ones first and a few at a time. */
export class Queue {
  photos = [];
  heatmaps = false;
  token = "";
  /** Why nothing is asked: "silent" where the server does not answer, "token", or "". */
  halted = "";
  #asking = 0;

  /** `changed` is told of a photo that changed, or of none when the whole has. */
  constructor(changed) {
    this.changed = changed;
  }

  get busy() {
    return this.#asking > 0 || (!this.halted && this.photos.some((photo) => this.#wants(photo)));
  }

  /** Put photos before those that are there. */
  add(photos) {
    this.photos = [...photos, ...this.photos];
    this.#next();
  }

  remove(photo) {
    photo.removed.abort();
    this.photos = this.photos.filter((other) => other !== photo);
    this.#next();
  }

  clear() {
    for (const photo of this.photos) photo.removed.abort();
    this.photos = [];
    this.#next();
  }

  again(photo) {
    photo.fault = null;
    photo.status = "queued";
    this.#next();
  }

  /** Ask for heat-maps from now on, also of photos that have an answer; or no longer. */
  draw(heatmaps) {
    this.heatmaps = heatmaps;
    this.#next();
  }

  /** Go on after a halt. */
  resume(token = this.token) {
    this.token = token;
    this.halted = "";
    this.#next();
  }

  #wants(photo) {
    return !["asked", "waiting"].includes(photo.status) && photo.lacks(this.heatmaps);
  }

  #next() {
    for (const photo of this.photos) {
      if (this.halted || this.#asking >= AT_ONCE) break;
      if (this.#wants(photo)) this.#settle(photo);
    }
    this.changed();
  }

  async #settle(photo) {
    this.#asking += 1;
    this.#become(photo, "asked");
    const { token } = this;
    try {
      const response = await this.#ask(photo, this.heatmaps, token);
      if (response.status === 401) {
        if (token === this.token) this.halted = "token";
      } else {
        await read(response, photo, this.heatmaps);
      }
    } catch {
      if (!(await readable(photo.file))) photo.fault = { words: GONE, again: false };
      else if (!photo.removed.signal.aborted) this.halted = "silent";
    }
    this.#asking -= 1;
    this.#become(photo, photo.row || photo.fault ? "settled" : "queued");
    this.#next();
  }

  async #ask(photo, heatmaps, token) {
    const headers = { "Content-Type": "application/octet-stream" };
    if (token) headers.Authorization = `Bearer ${token}`;
    const { signal } = photo.removed;
    const asked = { method: "POST", body: photo.file, headers, signal };
    for (let tried = 1; ; tried += 1) {
      const response = await fetch(heatmaps ? "predict?heatmap=true" : "predict", asked);
      if (response.status !== 503 || tried === TRIES) return response;
      this.#become(photo, "waiting");
      await pause(Number(response.headers.get("Retry-After")), signal);
      this.#become(photo, "asked");
    }
  }

  #become(photo, status) {
    photo.status = status;
    this.changed(photo);
  }
}

/** Take what the server says of a photo. */
async function read(response, photo, heatmaps) {
  const text = await response.text();
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // Not pawprint's own words, but those of something between it and the page.
  }
  const row = told.predictions?.[0];
  if (row) {
    photo.row = { ...row, heatmap: heatmaps ? (row.heatmap ?? null) : undefined };
  } else {
    const words = told.error ?? `The server answered with status ${response.status}.`;
    photo.fault = { words, again: response.status >= 500 || response.status === 408 };
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, 1000 * Math.min(Math.max(seconds || 1, 1), LONGEST_WAIT));
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** All photos with their answers, as `pawprint predict --csv` writes them. */
export function csv(photos, classes) {
  const head = ["path", "label", "probability", "novelty", "error"];
  // A class may be called as a column is.
  const columns = classes.map((label) => (head.includes(label) ? `p(${label})` : label));
  const rows = [[...head, ...columns], ...photos.map((photo) => cells(photo, classes))];
  const text = rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
  return BEYOND_ASCII.test(text) ? MARK + text : text;
}

function cells({ name, row, fault }, classes) {
  if (!row) return [name, "", "", "", fault?.words ?? "not answered", ...classes.map(() => "")];
  const given = classes.map((label) => row.probabilities[label]);
  return [name, row.label, row.probability, row.novelty, row.error, ...given];
}

function cell(value) {
  let text = String(value ?? "");
  if (typeof value === "string" && FORMULA.test(text)) text = `'${text}`;
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
