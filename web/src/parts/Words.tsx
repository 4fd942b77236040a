// A sentence of the server, with what stands in backticks set as code. Text only, never markup.
import type { VNode } from "preact";

export function Words({ text }: { text: string }): VNode {
  const parts = text.split("`");
  // Every opening backtick has its closing one, or they are no marks.
  if (parts.length % 2 === 0) return <>{text}</>;
  return (
    <>{parts.map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>
  );
}
