"""Sends a mail for each new entry."""

import os
import smtplib
import time
from email.message import EmailMessage

from app import database

while True:
    with database() as it:
        rows = it.execute("update entry set reported = true where not reported returning text").fetchall()
        for (text,) in rows:
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "book@example.com", "owner@example.com", f"{os.environ['TITLE']}: a new entry"
            mail.set_content(text)
            with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])) as server:
                server.send_message(mail)
            print(f"reported {text!r}")
    time.sleep(2)
