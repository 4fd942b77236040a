// Signing in: a token, looked at by the API before it is kept.
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Admin } from "../api/admin";
import { ProblemError } from "../api/problem";
import { Header } from "../parts/Header";
import { described, Field } from "../submit/Field";
import { signIn } from "./session";

/** What is wrong with a token, before anybody is asked; null when it could be one. */
export function tokenFault(token: string): string | null {
  if (token === "") return "Enter your token.";
  if (!/^[\x21-\x7e]+$/.test(token)) return "A token has neither spaces nor accents.";
  return null;
}

function why(error: unknown): string {
  if (error instanceof ProblemError && error.problem.status === 401) {
    return "This token is not good. It may be mistyped, revoked, or expired.";
  }
  return error instanceof Error ? error.message : String(error);
}

export function SignIn({ ended }: { ended: string | null }): VNode {
  const [keep, setKeep] = useState(false);
  const [asking, setAsking] = useState(false);
  const [fault, setFault] = useState<string | undefined>();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Sign in · Portcall console";
  }, []);
  const refuse = (words: string): void => {
    setFault(words);
    input.current?.focus();
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    // Read from the input itself: what fills passwords in does not always say so.
    const bare = (input.current?.value ?? "").trim();
    const wrong = tokenFault(bare);
    if (wrong !== null) return refuse(wrong);
    setAsking(true);
    setFault(undefined);
    try {
      await new Admin(bare, () => undefined).me();
    } catch (error) {
      setAsking(false);
      return refuse(why(error));
    }
    signIn(bare, keep ? "browser" : "tab");
  };
  return (
    <>
      <Header event={null} />
      <main class="page signin" id="main" tabIndex={-1}>
        <form class="signin-card form" data-testid="console-signin" onSubmit={submit} noValidate>
          <div>
            <h1>Console</h1>
            <p class="lead">For those who run an event.</p>
          </div>
          {ended !== null && (
            <p class="strip" role="status" data-testid="console-ended">
              {ended}
            </p>
          )}
          <Field name="token" label="Token" error={fault}>
            <input
              {...described("token", fault)}
              ref={input}
              type="password"
              autocomplete="current-password"
              autocapitalize="off"
              spellcheck={false}
              data-testid="console-token"
            />
          </Field>
          <label class="tick">
            <input
              type="checkbox"
              checked={keep}
              onChange={(event) => setKeep(event.currentTarget.checked)}
            />
            <span>
              Keep me signed in on this device
              <span class="hint">Without this, closing the tab signs you out.</span>
            </span>
          </label>
          <button
            type="submit"
            class="button primary large"
            data-testid="console-signin-button"
            disabled={asking}
          >
            {asking ? "Signing in …" : "Sign in"}
          </button>
          <p class="hint">
            The operator of this Portcall makes tokens with <code>portcall token create</code>.
          </p>
        </form>
      </main>
    </>
  );
}
