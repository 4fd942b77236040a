// A text with numbered lines; those with a mistake are marked, and each mistake leads to its line.
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import { countLines, type Mistake, rangeOf } from "./problems";

interface Props {
  text: string;
  mistakes: Mistake[];
  onText?: (text: string) => void;
  label: string;
  testid: string;
}

const LINE_EM = 1.5;

export function Editor({ text, mistakes, onText, label, testid }: Props): VNode {
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLDivElement>(null);
  const follow = (): void => {
    if (gutter.current === null || area.current === null) return;
    gutter.current.style.transform = `translateY(${-area.current.scrollTop}px)`;
  };
  const jump = (line: number): void => {
    const box = area.current;
    if (box === null) return;
    const [start, end] = rangeOf(text, line);
    box.focus();
    box.setSelectionRange(start, end);
    const lineHeight = Number.parseFloat(getComputedStyle(box).lineHeight) || 20;
    box.scrollTop = Math.max(0, (line - 1) * lineHeight - box.clientHeight / 3);
    follow();
  };
  const lines = countLines(text);
  const numbers = Array.from({ length: lines }, (_, n) => n + 1).join("\n");
  const marked = new Set(mistakes.map(({ line }) => line).filter((line) => line > 0));
  return (
    <>
      <div class={marked.size > 0 ? "editor wrong" : "editor"}>
        <div class="editor-gutter" aria-hidden="true">
          <div ref={gutter}>
            {[...marked].map((line) => (
              <span key={line} class="editor-mark" style={{ top: `${(line - 1) * LINE_EM}em` }} />
            ))}
            <span class="editor-numbers">{numbers}</span>
          </div>
        </div>
        <textarea
          ref={area}
          aria-label={label}
          aria-invalid={marked.size > 0 ? "true" : undefined}
          aria-describedby={mistakes.length > 0 ? "rules-mistakes" : undefined}
          data-testid={testid}
          wrap="off"
          dir="ltr"
          spellcheck={false}
          autocapitalize="off"
          autocomplete="off"
          readOnly={onText === undefined}
          value={text}
          onScroll={follow}
          onInput={(event) => onText?.(event.currentTarget.value)}
        />
      </div>
      {mistakes.length > 0 && (
        <div id="rules-mistakes" class="not-done">
          <ul>
            {mistakes.map((mistake) => (
              <li
                key={`${mistake.line} ${mistake.text}`}
                data-testid="rules-problem"
                data-line={mistake.line}
              >
                {mistake.line > 0 && (
                  <button type="button" class="link" onClick={() => jump(mistake.line)}>
                    Line {mistake.line}:
                  </button>
                )}{" "}
                {mistake.text}
              </li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}
