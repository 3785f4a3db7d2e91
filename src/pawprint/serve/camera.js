// The dialog in which photos are taken.

const REFUSED = {
  NotAllowedError: "The browser was told not to allow the camera.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera is in use elsewhere.",
};
const QUALITY = 0.95; // of the JPEG that a shot is kept as

const by = (id) => document.getElementById(id);

/** Whether the browser lends cameras to this page: on this computer, and elsewhere by https. */
export const allowed = Boolean(navigator.mediaDevices?.getUserMedia);

let facing = "environment";
let shots = 0;

/** Show what the camera sees until the dialog is closed; `taken` is given each photo as a file. */
export function prepare(taken) {
  by("take").addEventListener("click", () => {
    say("");
    by("camera").showModal();
    start();
  });
  by("turn").addEventListener("click", () => {
    facing = facing === "user" ? "environment" : "user";
    start();
  });
  by("shutter").addEventListener("click", async () => taken(await shot()));
  by("close").addEventListener("click", () => by("camera").close());
  by("camera").addEventListener("close", stop);
}

export function say(words) {
  by("shot").textContent = words;
}

async function start() {
  stop();
  const size = { width: { ideal: 1920 }, height: { ideal: 1080 } };
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: facing, ...size },
    });
    stop(); // another may have come meanwhile
    by("finder").srcObject = stream;
    if (!by("camera").open) return stop(); // closed while the browser asked
    await by("finder").play();
    const devices = await navigator.mediaDevices.enumerateDevices();
    by("turn").hidden = devices.filter(({ kind }) => kind === "videoinput").length < 2;
    by("shutter").disabled = false;
    by("shutter").focus();
  } catch (error) {
    say(REFUSED[error.name] ?? `The camera cannot be used: ${error.message}`);
  }
}

function stop() {
  by("shutter").disabled = true;
  for (const track of by("finder").srcObject?.getTracks() ?? []) track.stop();
  by("finder").srcObject = null;
}

/** What the camera sees now. */
async function shot() {
  const finder = by("finder");
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: finder.videoWidth, height: finder.videoHeight });
  canvas.getContext("2d").drawImage(finder, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  shots += 1;
  return new File([blob], `camera-${shots}.jpg`, { type: blob.type });
}
