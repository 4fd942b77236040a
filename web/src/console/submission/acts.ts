// What can be done to a submission as it stands, and what is said before it is done.
import type { Act, Whole } from "../../api/admin";
import { isFinal } from "../../api/types";

export interface ActWords {
  act: Act;
  button: string;
  title: string;
  text: string;
  word: string;
  danger: boolean;
}

const WORDS: Record<Act, Omit<ActWords, "act">> = {
  hide: {
    button: "Hide …",
    title: "Take the pin off the map?",
    text: "The verdict stays. If the same participant passed before, that earlier pin shows again.",
    word: "Hide it",
    danger: false,
  },
  unhide: {
    button: "Unhide …",
    title: "Put the pin back on the map?",
    text: "If the submission passed, everybody sees its pin again.",
    word: "Put it back",
    danger: false,
  },
  cancel: {
    button: "Cancel …",
    title: "Cancel this submission?",
    text: "It ends without a verdict, also while it is graded. The participant can submit again.",
    word: "Cancel it",
    danger: true,
  },
  requeue: {
    button: "Try again …",
    title: "Have it tried again?",
    text: "It goes back into the queue with all attempts before it.",
    word: "Try again",
    danger: false,
  },
  erase: {
    button: "Erase …",
    title: "Erase what is personal, for good?",
    text:
      "Name, handle, contact, place, answers, images' names and logs are gone, and so are the notes " +
      "about it in the audit log. One that has not ended is cancelled first. This cannot be undone. " +
      "The reason that you give stays: name nobody in it.",
    word: "Erase for good",
    danger: true,
  },
};

export function wordsOf(act: Act): ActWords {
  return { act, ...WORDS[act] };
}

/** What makes sense now; the API has the last word. */
export function possible(submission: Pick<Whole, "state" | "hidden" | "erased_at">): Act[] {
  const { state, hidden, erased_at } = submission;
  const acts: Act[] = [];
  if (erased_at === null) acts.push(hidden ? "unhide" : "hide");
  if (!isFinal(state)) acts.push("cancel");
  if (state === "undetermined" && erased_at === null) acts.push("requeue");
  if (erased_at === null) acts.push("erase");
  return acts;
}
