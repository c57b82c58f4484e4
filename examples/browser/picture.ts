/** The plane as the network sees it: each place in the colour of the arm it takes it for, with the points it learns from. */
import * as tf from "@tensorflow/tfjs-core";
import type { Network } from "./network.ts";
import { points } from "./spirals.ts";

/** Places a side that the network is asked about; the canvas smooths between them. */
const PLACES = 32;
/** From the middle to an edge, where the spirals reach 1. */
const REACH = 1.1;
const SIZE = 480;
const ARMS = [
  [224, 64, 122],
  [16, 158, 140],
] as const;

export class Picture {
  readonly #canvas: HTMLCanvasElement;
  readonly #places = placesOfPlane();
  readonly #image = new ImageData(PLACES, PLACES);

  constructor(canvas: HTMLCanvasElement) {
    canvas.width = SIZE;
    canvas.height = SIZE;
    this.#canvas = canvas;
  }

  async show(network: Network): Promise<void> {
    const shares = tf.tidy(() => tf.softmax(network.logits(this.#places)));
    const numbers = await shares.data();
    shares.dispose();
    this.#image.data.forEach((_, i, data) => {
      const second = numbers[2 * (i >> 2) + 1] as number;
      const channel = i & 3;
      data[i] =
        channel === 3 ? 140 * Math.abs(2 * second - 1) : (ARMS[second < 0.5 ? 0 : 1][channel] as number);
    });
    await this.#draw();
  }

  async #draw(): Promise<void> {
    const context = this.#canvas.getContext("2d") as CanvasRenderingContext2D;
    const plane = await createImageBitmap(this.#image);
    context.clearRect(0, 0, SIZE, SIZE);
    context.drawImage(plane, 0, 0, SIZE, SIZE);
    const place = (coordinate: number) => ((coordinate / REACH + 1) / 2) * SIZE;
    for (const { x, y, arm } of points) {
      context.fillStyle = `rgb(${ARMS[arm].join(" ")})`;
      context.beginPath();
      context.arc(place(x), place(y), 4.5, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function placesOfPlane(): tf.Tensor2D {
  const coordinate = (index: number) => REACH * ((2 * index + 1) / PLACES - 1);
  const rows = Array.from({ length: PLACES ** 2 }, (_, i) => [
    coordinate(i % PLACES),
    coordinate(Math.floor(i / PLACES)),
  ]);
  return tf.tensor2d(rows as [number, number][]);
}
