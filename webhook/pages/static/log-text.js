// Parses a build's log into lines, steps and colours. It does not touch the page.
//
// Of all terminal sequences only colours (SGR) are kept, until the end of their line. Others are dropped; characters
// that change the text direction are shown as a replacement character.
"use strict";

const LogText = (() => {
  const ESCAPE = /\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]{0,8}[0-~])/g;
  const SGR = /^\x1b\[([0-9;:]*)m$/;
  const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const HAS_CONTROL = new RegExp(CONTROLS.source);
  const STAMP = /^#\d{1,6} [\d.]{1,12} /; // BuildKit: step number and seconds since its start
  const MAX_LENGTH = 4000; // characters of a line that are shown

  function clean(text) {
    return text.replace(CONTROLS, "\ufffd");
  }

  /** Return the text of a line, without colours and control characters. */
  function plain(line) {
    return HAS_CONTROL.test(line) ? clean(line.replace(ESCAPE, "")) : line;
  }

  function apply(style, codes) {
    const numbers = codes.split(/[;:]/).map(Number);
    for (let i = 0; i < numbers.length; i += 1) {
      const n = numbers[i];
      if (n === 0) style = { colour: null, bold: false, dim: false, italic: false, underline: false };
      else if (n === 1) style = { ...style, bold: true };
      else if (n === 2) style = { ...style, dim: true };
      else if (n === 3) style = { ...style, italic: true };
      else if (n === 4) style = { ...style, underline: true };
      else if (n === 22) style = { ...style, bold: false, dim: false };
      else if (n === 23) style = { ...style, italic: false };
      else if (n === 24) style = { ...style, underline: false };
      else if (n === 39) style = { ...style, colour: null };
      else if (n >= 30 && n <= 37) style = { ...style, colour: n - 30 };
      else if (n >= 90 && n <= 97) style = { ...style, colour: n - 90 };
      else if (n === 38 || n === 48) {
        // 256 colours: keep the first sixteen, the named ones; ignore others and all backgrounds.
        if (numbers[i + 1] === 5) {
          if (n === 38 && numbers[i + 2] < 16) style = { ...style, colour: numbers[i + 2] % 8 };
          i += 2;
        } else if (numbers[i + 1] === 2) i += 4;
      }
    }
    return style;
  }

  /** Return the pieces of a line, each with its text and class names. */
  function pieces(line) {
    const shown = line.length > MAX_LENGTH ? line.slice(0, MAX_LENGTH) : line;
    const found = [];
    const stamp = STAMP.exec(shown);
    let style = { colour: null, bold: false, dim: false, italic: false, underline: false };
    let from = stamp ? stamp[0].length : 0;
    if (stamp) found.push({ text: stamp[0], names: ["stamp"] });
    const add = (text) => {
      if (!text) return;
      const names = Object.keys(style).filter((name) => name !== "colour" && style[name]);
      if (style.colour !== null) names.push(`c${style.colour}`);
      found.push({ text: clean(text), names });
    };
    for (const match of shown.matchAll(ESCAPE)) {
      if (match.index < from) continue;
      add(shown.slice(from, match.index));
      from = match.index + match[0].length;
      const sgr = SGR.exec(match[0]);
      if (sgr) style = apply(style, sgr[1]);
    }
    add(shown.slice(from));
    if (shown.length < line.length) {
      found.push({ text: ` … ${line.length - MAX_LENGTH} more characters; download the log to see them`, names: ["note"] });
    }
    return found;
  }

  const STEP = /^#(\d{1,6}) (.*)$/;
  const TITLE = /^\[[^\]]{1,80}\]/;
  const DONE = /^DONE ([\d.]+)s$/;

  /** The lines of one log, in sections: BuildKit's steps (`#n …`) and the lines between them. */
  class Log {
    constructor() {
      this.clear();
    }

    clear() {
      this.lines = [];
      this.sections = []; // {step, title, start, end, state, seconds}; step is null between steps
      this.failed = new Set(); // numbers of the steps that failed
      this._titles = new Map();
      this._rest = "";
    }

    /** Add text; it may end in the middle of a line. */
    add(text) {
      const parts = (this._rest + text).split("\n");
      this._rest = parts.pop();
      for (const part of parts) this._line(part);
    }

    /** Add the last line, which may lack a line break. */
    end() {
      if (this._rest) this._line(this._rest);
      this._rest = "";
    }

    _line(line) {
      const number = this.lines.length;
      // A progress bar overwrites itself with \r: show its last state.
      const text = line.endsWith("\r") ? line.slice(0, -1) : line;
      this.lines.push(text.slice(text.lastIndexOf("\r") + 1));
      const last = this.sections[this.sections.length - 1];
      const match = STEP.exec(text);
      if (match) this._ofStep(Number(match[1]), match[2], number, last);
      else if (last && (last.step === null || text === "")) last.end = number + 1;
      else this.sections.push({ step: null, title: "", start: number, end: number + 1, state: "", seconds: "" });
    }

    _ofStep(step, text, number, last) {
      if (TITLE.test(text) && !this._titles.has(step)) this._titles.set(step, plain(text).slice(0, 300));
      let section = last;
      if (!last || last.step !== step) {
        const title = this._titles.get(step) ?? plain(text).slice(0, 300);
        section = { step, title, start: number, end: number + 1, state: "", seconds: "" };
        this.sections.push(section);
      }
      section.end = number + 1;
      const done = DONE.exec(text);
      if (done) [section.state, section.seconds] = ["done", done[1]];
      else if (text === "CACHED") section.state = "cached";
      else if (text === "CANCELED") section.state = "cancelled";
      else if (text.startsWith("ERROR")) {
        section.state = "failed";
        this.failed.add(step);
      }
    }
  }

  return { Log, pieces, plain };
})();
