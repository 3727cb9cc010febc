// As much of PNG as the tests need: 8 bits for a sample, not interlaced.
import { crc32, deflateSync, inflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
/** Samples of a pixel, by the colour type. */
const SAMPLES = new Map([
  [0, 1],
  [2, 3],
  [6, 4],
]);

/** The size, the samples of a pixel and the pixels of a file. */
export function decodePng(file) {
  const data = [];
  let header;
  for (let at = SIGNATURE.length; at < file.length;) {
    const length = file.readUInt32BE(at);
    const kind = file.toString('latin1', at + 4, at + 8);
    const body = file.subarray(at + 8, at + 8 + length);
    if (kind === 'IHDR') {
      header = body;
    } else if (kind === 'IDAT') {
      data.push(body);
    }
    at += length + 12;
  }
  const samples = SAMPLES.get(header[9]);
  if (header[8] !== 8 || samples === undefined || header[12] !== 0) {
    throw new Error('the tests do not read this kind of PNG');
  }
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  return { width, height, samples, pixels: unfilter(inflateSync(Buffer.concat(data)), width * samples, height, samples) };
}

function unfilter(rows, stride, height, samples) {
  const pixels = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y += 1) {
    const filter = rows[y * (stride + 1)];
    for (let x = 0; x < stride; x += 1) {
      const left = x < samples ? 0 : pixels[y * stride + x - samples];
      const up = y === 0 ? 0 : pixels[(y - 1) * stride + x];
      const corner = x < samples || y === 0 ? 0 : pixels[(y - 1) * stride + x - samples];
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      pixels[y * stride + x] = rows[y * (stride + 1) + 1 + x] + guess;
    }
  }
  return pixels;
}

function paeth(left, up, corner) {
  const [toLeft, toUp, toCorner] = [up - corner, left - corner, left + up - 2 * corner].map(Math.abs);
  return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
}

export function encodePng({ width, height, samples, pixels }) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  header[9] = [...SAMPLES].find(([, count]) => count === samples)[0];
  const stride = width * samples;
  const rows = Buffer.alloc((stride + 1) * height);
  for (let y = 0; y < height; y += 1) {
    pixels.copy(rows, y * (stride + 1) + 1, y * stride, (y + 1) * stride);
  }
  return Buffer.concat([SIGNATURE, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(kind, body) {
  const content = Buffer.concat([Buffer.from(kind, 'latin1'), body]);
  const made = Buffer.alloc(content.length + 8);
  made.writeUInt32BE(body.length, 0);
  content.copy(made, 4);
  made.writeUInt32BE(crc32(content), made.length - 4);
  return made;
}

/** A part of a picture. */
export function crop({ width, samples, pixels }, left, top, size) {
  const rows = Array.from({ length: size }, (_, y) => {
    const start = ((top + y) * width + left) * samples;
    return pixels.subarray(start, start + size * samples);
  });
  return { width: size, height: size, samples, pixels: Buffer.concat(rows) };
}
