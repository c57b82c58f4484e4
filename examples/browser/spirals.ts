/** The data: points on two spirals that wind around each other, to be told apart. */
import * as tf from "@tensorflow/tfjs-core";

const POINTS_AN_ARM = 100;
const WINDINGS = 2;

export interface Point {
  /** Both from -1 to 1. */
  readonly x: number;
  readonly y: number;
  readonly arm: 0 | 1;
}

export const points: readonly Point[] = ([0, 1] as const).flatMap((arm) =>
  Array.from({ length: POINTS_AN_ARM }, (_, i) => {
    const radius = Math.sqrt((i + 0.5) / POINTS_AN_ARM); // the same number of points on every area
    const angle = (2 * WINDINGS * radius + arm) * Math.PI;
    return { x: radius * Math.cos(angle), y: radius * Math.sin(angle), arm };
  }),
);

export interface Batch {
  readonly inputs: tf.Tensor2D;
  /** One-hot. */
  readonly labels: tf.Tensor2D;
}

export function allPoints(): Batch {
  return {
    inputs: tf.tensor2d(points.map(({ x, y }) => [x, y])),
    labels: tf.tensor2d(points.map(({ arm }) => [1 - arm, arm])),
  };
}
