// What the console says of images that machines went down under. No markup here.
import { JUDGEMENTS, type Judgement, type Loss, type Suspect } from "../../api/admin";
import { count, counted } from "../words";

interface StandingWords {
  mark: string;
  kind: string;
  means: string;
}

const STANDINGS: Record<string, StandingWords> = {
  suspected: {
    mark: "suspected",
    kind: "mark-warn",
    means:
      "Machines went down while it was graded, too seldom to blame it. It is graded like any other.",
  },
  quarantined: {
    mark: "quarantined: graded alone",
    kind: "mark-warn",
    means:
      "It is graded once more, alone, if possible on a machine that did not go down under it. " +
      "A verdict clears it.",
  },
  poison: {
    mark: "poison: not graded",
    kind: "mark-failed",
    means:
      "Submissions with it are refused, and those that were taken in before end undecided; nobody is " +
      "charged. If it was only ever lost together with other images, it is refused only with those.",
  },
  cleared: {
    mark: "cleared",
    kind: "mark-passed",
    means: "Nothing counts against it. It is graded like any other.",
  },
};

/** A standing that only a newer version knows stands for itself. */
export function standingWords(standing: string): StandingWords {
  return STANDINGS[standing] ?? { mark: standing, kind: "", means: "" };
}

export const STANDING_CHOICES: [standing: string, words: string][] = [
  ["suspected", "Suspected"],
  ["quarantined", "Quarantined"],
  ["poison", "Poison"],
  ["cleared", "Cleared"],
];

/** The standing that an address asks for; null for all of them. */
export function wantedStanding(search: string): string | null {
  const wanted = new URLSearchParams(search).get("standing");
  return STANDING_CHOICES.some(([standing]) => standing === wanted) ? wanted : null;
}

/** `3 losses, 2 of them count`. */
export function lossWords({ losses, counted: counting }: Suspect): string {
  if (losses.length === 0) return "no losses";
  const all = counted(losses.length, "loss", "losses");
  if (counting === 0) return `${all}, none counts any more`;
  if (counting === losses.length) return `${all}, ${counting === 1 ? "it counts" : "all count"}`;
  return `${all}, ${count(counting)} of them ${counting === 1 ? "counts" : "count"}`;
}

/** Where it was graded when the machine went down, and with what. */
export function circumstances({ worker, node, alone, with: others }: Loss): string {
  const where = node === null ? `by ${worker}` : `by ${worker} on ${node}`;
  const beside = others === 0 ? [] : [`with ${counted(others, "other image")} of its submission`];
  return [`graded ${where}`, alone ? "alone" : "not alone", ...beside].join(", ");
}

const SAID: Record<string, string> = {
  cleared: "Cleared it",
  quarantined: "Quarantined it",
  poison: "Refused it",
};

export function orderWords(standing: string): string {
  return SAID[standing] ?? `Said that it is ${standing}`;
}

interface JudgementWords {
  button: string;
  title: string;
  word: string;
  text: string;
}

export const JUDGEMENT_WORDS: Record<Judgement, JudgementWords> = {
  cleared: {
    button: "Clear …",
    title: "Clear this image?",
    word: "Clear it",
    text:
      "It is graded like any other, and its losses count no more. What ended undecided before is not " +
      "graded again by this: have those submissions tried again one by one.",
  },
  quarantined: {
    button: "Quarantine …",
    title: "Quarantine this image?",
    word: "Quarantine it",
    text:
      "It is graded alone, if possible on a machine that did not go down under it. A verdict clears " +
      "it; another loss can have it refused.",
  },
  poison: {
    button: "Refuse …",
    title: "Refuse this image?",
    word: "Refuse it",
    text:
      "It is not graded any more. Whoever submits it is told so at once, and what waits with it ends " +
      "undecided.",
  },
};

/** What would change something; that one is merely suspected is for the machines to say. */
export function judgements(standing: string): Judgement[] {
  return JUDGEMENTS.filter((judgement) => judgement !== standing);
}
