// Makes of a photo, in a browser, the pixels that Python makes of it with Pillow.

const BITS = 22; // of a weight, as in Pillow; each of the two passes is rounded, as there
const STRIP = 128; // rows on the canvas at a time: browsers limit its size

/**
 * Decode and resize a photo.
 *
 * @param {Blob} blob the photo: a chosen File, or (await fetch(...)).blob()
 * @param {number} size the square's side
 * @param {"squash" | "crop" | "pad"} policy how the photo becomes a square
 * @returns {Promise<Uint8Array>} size * size * 3 values, RGB, row by row
 */
export async function pixels(blob, size, policy) {
  const photo = await createImageBitmap(blob, {
    imageOrientation: "from-image", // upright
    premultiplyAlpha: "none",
    colorSpaceConversion: "none", // in training, colour profiles were left alone too
  });
  const { width, height } = photo;
  const canvas = new OffscreenCanvas(Math.max(width, height), STRIP);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.fillStyle = "white"; // what shows through
  const rows = (top, count, columns) => {
    context.setTransform(...(columns ? [0, 1, 1, 0, 0, -top] : [1, 0, 0, 1, 0, -top]));
    context.fillRect(0, 0, width, height);
    context.drawImage(photo, 0, 0);
    return context.getImageData(0, 0, columns ? height : width, count).data;
  };
  // In training, a JPEG far larger than the square is decoded at a part of its size.
  const [one, two] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const larger = one === 0xff && two === 0xd8 ? Math.min(width, height) / (2 * size) : 1;
  const by = [8, 4, 2].find((part) => larger >= part) ?? 1;
  try {
    return fit(rows, width, height, size, policy, by);
  } finally {
    photo.close();
  }
}

/**
 * As `pixels`, of rows(top, count, columns), which gives rows of the photo, or columns as if they
 * were rows, RGBA; `by` by `by` pixels are first made one.
 */
export function fit(rows, width, height, size, policy, by = 1) {
  const sides = [Math.ceil(width / by), Math.ceil(height / by)];
  const [shorter, longer] = [Math.min(...sides), Math.max(...sides)];
  const [across, down] = [width, height].map((full, axis) => {
    const count = policy === "pad" ? Math.max(1, rounded(sides[axis] * (size / longer))) : size;
    return taps(sides[axis], policy === "crop" ? (sides[axis] - shorter) / 2 : 0, count, by, full);
  });
  // Along which axis first decides what is rounded; Pillow does so since its version 13.
  const lost = [sides[0] - across.length, sides[1] - down.length];
  const columns = lost[1] > Math.max(0, 2 * lost[0]);
  const [along, then, full] = columns ? [down, across, height] : [across, down, width];
  const line = along.length * 3;
  const narrow = new Uint8Array((columns ? width : height) * line);
  const end = then.at(-1).first + then.at(-1).weights.length;
  for (let top = then[0].first; top < end; top += STRIP) {
    const data = rows(top, Math.min(STRIP, end - top), columns);
    for (let from = 0, to = top * line; from < data.length; from += full * 4) {
      for (const tap of along) to = mix(data, from + tap.first * 4, 4, tap.weights, narrow, to);
    }
  }
  const square = new Uint8Array(size * size * 3).fill(127); // the grey of "pad"
  const corner = ((size - down.length) >> 1) * size + ((size - across.length) >> 1);
  const [x, y] = columns ? [size, 1] : [1, size]; // to the next of `along`, and of `then`
  then.forEach(({ first, weights }, row) => {
    for (let place = 0; place < along.length; place++) {
      const to = (corner + place * x + row * y) * 3;
      mix(narrow, first * line + place * 3, line, weights, square, to);
    }
  });
  return square;
}

/** For each of `count` places along an axis, which pixels it is made of: a triangle over them. */
function taps(length, start, count, by, full) {
  const scale = (length - 2 * start) / count;
  const reach = Math.max(scale, 1); // wider the more a photo shrinks: no pixel is passed over
  return Array.from({ length: count }, (_, place) => {
    const centre = start + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(length, Math.trunc(centre + reach + 0.5));
    const parts = Array.from({ length: Math.min(end * by, full) - first * by }, (_, at) =>
      Math.max(0, 1 - Math.abs((first + Math.floor(at / by) - centre + 0.5) / reach)),
    );
    const sum = parts.reduce((one, other) => one + other);
    const weights = Int32Array.from(parts, (part) => 0.5 + (part / sum) * (1 << BITS));
    return { first: first * by, weights };
  });
}

/** Make one pixel of several that are `step` values apart; gives where the next one goes. */
function mix(data, at, step, weights, into, to) {
  let red = 1 << (BITS - 1), green = red, blue = red;
  for (let i = 0; i < weights.length; i++, at += step) {
    red += data[at] * weights[i];
    green += data[at + 1] * weights[i];
    blue += data[at + 2] * weights[i];
  }
  into[to] = red >> BITS;
  into[to + 1] = green >> BITS;
  into[to + 2] = blue >> BITS;
  return to + 3;
}

/** To the nearest whole number; from the middle to the even one, as Python does. */
function rounded(value) {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 ? near - 1 : near;
}
