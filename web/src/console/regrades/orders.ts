// What can be decided about a re-grade in each of its states, and what is said before.
import type { Order, Regrade, RegradeState } from "../../api/admin";
import { counted } from "../words";

export function isMoving(state: RegradeState): boolean {
  return ["preparing", "grading", "applying", "undoing"].includes(state);
}

/** Applying is shown before it is possible, so that one sees what comes. */
export function orders(state: RegradeState): Order[] {
  switch (state) {
    case "preparing":
    case "grading":
    case "ready":
      return ["apply", "discard"];
    case "applied":
      return ["undo"];
    case "applying":
    case "undoing":
    case "undone":
    case "discarded":
      return [];
  }
}

interface Words {
  button: string;
  title: string;
  word: string;
  text: (counts: Regrade["counts"]) => string;
}

export const ORDER_WORDS: Record<Order, Words> = {
  apply: {
    button: "Apply …",
    title: "Take the new verdicts over?",
    word: "Apply it",
    text: ({ would_pass, would_fail }) =>
      would_pass + would_fail === 0
        ? "No verdict would change. Participants will not notice."
        : `${counted(would_pass, "submission")} will pass and ${counted(would_fail, "submission")} ` +
          "will fail that did not before. The map and the participants' pages follow at once. It can be undone.",
  },
  undo: {
    button: "Undo …",
    title: "Put the old verdicts back?",
    word: "Undo it",
    text: () =>
      "Wherever the verdict is still the one of this re-grade. The attempts stay to be seen.",
  },
  discard: {
    button: "Give up …",
    title: "Give this re-grade up?",
    word: "Give it up",
    text: () => "Nothing has changed and nothing will. What is not graded yet will not be.",
  },
};
