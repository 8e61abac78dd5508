"""The ``quiz`` directive: native radio buttons and a written reply for every answer, no script.

    :::{quiz}
    Which constant minimises the mean absolute error?

    - [ ] The mean
      That is what the squared error asks for.
    - [x] The median
      Every target pulls with the same force, so the pulls balance in the middle.
    :::

The question comes first. Each answer is one line; the indented lines below it are its reply.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ANSWER = re.compile(r"^[-*] \[([ xX])\] (.+)$")


class Quiz(nodes.General, nodes.Element):
    """One question; its children are a legend, more of the question, and answers."""


class QuizLegend(nodes.General, nodes.TextElement):
    pass


class QuizAnswer(nodes.General, nodes.Element):
    """An answer's label, then its reply."""


class QuizLabel(nodes.General, nodes.TextElement):
    pass


class QuizReply(nodes.General, nodes.Element):
    pass


class QuizDirective(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        question, answers = self.split()
        if not question or len(answers) < 2:
            raise self.error("a quiz needs a question and at least two answers, each '- [ ] text'")
        if not any(right for right, *_ in answers):
            raise self.error("a quiz needs at least one right answer, marked '- [x] text'")

        name = f"quiz-{self.env.new_serialno('quiz')}"
        asked = self.parsed(question)
        node = Quiz(name=name)
        node += QuizLegend("", "", *inline_children(asked.pop(0)))
        node += asked
        for number, (right, text, reply) in enumerate(answers, 1):
            if not any(line.strip() for line, _ in reply):
                raise self.error(f"the answer {text!r} has no reply: indent one below it")
            label = self.parsed([(text, self.lineno)])
            answer = QuizAnswer(name=name, id=f"{name}-{number}")
            answer += QuizLabel("", "", *inline_children(label[0]), target=answer["id"])
            answer += QuizReply("", *self.parsed(reply), right=right)
            node += answer
        return [node]

    def split(self) -> tuple[list[tuple[str, int]], list[tuple[bool, str, list[tuple[str, int]]]]]:
        """The question's lines, and (is right, text, the reply's lines) for each answer."""
        question: list[tuple[str, int]] = []
        answers: list[tuple[bool, str, list[tuple[str, int]]]] = []
        for number, line in enumerate(self.content):
            start = ANSWER.match(line)
            if start:
                answers.append((start[1] != " ", start[2], []))
            elif answers:
                answers[-1][2].append((line.removeprefix("  "), self.content_offset + number))
            elif line.strip() or question:
                question.append((line, self.content_offset + number))
        return question, answers

    def parsed(self, lines: list[tuple[str, int]]) -> list[nodes.Node]:
        source = self.get_source_info()[0]
        block = StringList([text for text, _ in lines], items=[(source, at) for _, at in lines])
        container = nodes.Element()
        self.state.nested_parse(block, lines[0][1], container)
        return list(container.children)


def inline_children(node: nodes.Node) -> list[nodes.Node]:
    return list(node.children) if isinstance(node, nodes.paragraph) else [node]


def tag(opening: str, closing: str) -> tuple[Any, Any]:
    def visit(translator: Any, node: nodes.Element) -> None:
        translator.body.append(opening.format(**node.attributes))

    def depart(translator: Any, node: nodes.Element) -> None:
        translator.body.append(closing)

    return visit, depart


def visit_reply(translator: Any, node: nodes.Element) -> None:
    kind, verdict = ("right", "Right.") if node["right"] else ("wrong", "Not quite.")
    translator.body.append(
        f'<div aria-live="polite"><div class="quiz-reply {kind}"><strong>{verdict}</strong>\n'
    )


def depart_reply(translator: Any, node: nodes.Element) -> None:
    translator.body.append("</div></div>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("quiz", QuizDirective)
    app.add_node(Quiz, html=tag('<fieldset class="quiz">\n', "</fieldset>\n"))
    app.add_node(QuizLegend, html=tag("<legend>", "</legend>\n"))
    app.add_node(
        QuizAnswer,
        html=tag(
            '<div class="quiz-answer"><input type="radio" name="{name}" id="{id}">', "</div>\n"
        ),
    )
    app.add_node(QuizLabel, html=tag('<label for="{target}">', "</label>"))
    app.add_node(QuizReply, html=(visit_reply, depart_reply))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
