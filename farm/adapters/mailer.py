"""Mails by SMTP: a few lines, a link, and a picture if there is one."""

from __future__ import annotations

import html
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from io import BytesIO
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image

from farm.adapters.pictures import U8
from farm.errors import Rejected, Unavailable

PATIENCE_S = 20.0
"""Seconds for each answer of the server."""
POSTER_WIDTH = 640
"""Pixels at the most."""
PERMANENT = 500
"""Answers from here on say that another try would end the same."""


@dataclass(frozen=True)
class Mail:
    """What is said to one receiver."""

    to: str
    subject: str
    lines: tuple[str, ...]
    link: str
    message_id: str
    """The same in every attempt: mail programs show it once."""
    poster: bytes | None = None
    """JPEG."""


def poster(pixels: U8) -> bytes:
    """`[H, W, 3]` uint8 as a JPEG of `POSTER_WIDTH` at the most; not every mail program shows newer kinds."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((POSTER_WIDTH, POSTER_WIDTH), Image.Resampling.LANCZOS)
    out = BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


def composed(mail: Mail, sender: str) -> EmailMessage:
    """As plain text and as HTML. Line breaks in a job's name cannot become headers."""
    message = EmailMessage()
    message["From"], message["To"] = sender, mail.to
    message["Subject"] = " ".join(mail.subject.split())[:150]
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{mail.message_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join((*mail.lines, "", mail.link, "")))
    paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in mail.lines)
    link = html.escape(mail.link, quote=True)
    picture = f'<p><img src="cid:poster@farm" width="{POSTER_WIDTH}" alt=""></p>' if mail.poster else ""
    body = f'<html><body>{paragraphs}{picture}<p><a href="{link}">{link}</a></p></body></html>'
    message.add_alternative(body, subtype="html")
    if mail.poster:
        part = message.get_payload()[-1]  # type: ignore[index]  # a list, now that there are two alternatives
        part.add_related(mail.poster, "image", "jpeg", cid="<poster@farm>", filename="frame.jpg")  # type: ignore[union-attr]  # parts are messages
    return message


def send(message: EmailMessage, smtp_url: str) -> None:
    """Hand a mail to the server.

    Raises:
        Rejected: the server will never take it.   Unavailable: it did not now.
    """
    parts = urlsplit(smtp_url)
    host, safe = parts.hostname or "", ssl.create_default_context()
    try:
        server = (
            smtplib.SMTP_SSL(host, parts.port or 465, timeout=PATIENCE_S, context=safe)
            if parts.scheme == "smtps"
            else smtplib.SMTP(host, parts.port or 587, timeout=PATIENCE_S)
        )
        with server:
            server.ehlo()
            # A password is never said in the open: without the offer this fails.
            if parts.scheme == "smtp" and (parts.password or server.has_extn("starttls")):
                server.starttls(context=safe)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise (Rejected if code >= PERMANENT else Unavailable)(
            f"The mail server refuses the address: {said!r}."
        ) from error
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable(
            f"The mail was not taken by {host}: {error}. Check FARM_SMTP_URL, and the server's log."
        ) from error
