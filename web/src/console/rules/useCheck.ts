// The file as the API judges it: asked a moment after the last key, and before it is applied.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ProblemError } from "../../api/problem";
import { useOrganiser } from "../session";
import { type Mistake, mistakesOf } from "./problems";

export type Judgement =
  | { is: "unasked" }
  | { is: "asking" }
  | { is: "good" }
  | { is: "wrong"; mistakes: Mistake[] }
  | { is: "unknown"; error: Error };

const PAUSE_MS = 900;

/** What an error of the API says about the file; null when it is about something else. */
export function judged(error: unknown): Judgement {
  if (error instanceof ProblemError && error.problem.errors.length > 0) {
    return { is: "wrong", mistakes: mistakesOf(error.problem.errors) };
  }
  return { is: "unknown", error: error instanceof Error ? error : new Error(String(error)) };
}

export interface Check {
  judgement: Judgement;
  /** Asks at once, and answers what was said. */
  now: () => Promise<Judgement>;
  /** What an attempt to apply it said. */
  told: (judgement: Judgement) => void;
}

export function useCheck(slug: string, text: string, changed: boolean): Check {
  const { admin } = useOrganiser();
  const [judgement, setJudgement] = useState<Judgement>({ is: "unasked" });
  const round = useRef(0);
  const now = useCallback(async (): Promise<Judgement> => {
    round.current += 1;
    const own = round.current;
    setJudgement((old) => (old.is === "wrong" ? old : { is: "asking" }));
    const answer = await admin.putRules(slug, text, "check").then(
      (): Judgement => ({ is: "good" }),
      (error: unknown) => judged(error),
    );
    // The text is another one by now: its own answer is on its way.
    if (own === round.current) setJudgement(answer);
    return answer;
  }, [admin, slug, text]);
  useEffect(() => {
    if (!changed) {
      round.current += 1;
      setJudgement({ is: "unasked" });
      return;
    }
    const pause = setTimeout(() => void now(), PAUSE_MS);
    return () => clearTimeout(pause);
  }, [now, changed]);
  return { judgement, now, told: setJudgement };
}
