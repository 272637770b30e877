#!/usr/bin/python3
# deadline: 300
"""The example dashboard, in a real browser: it shows the counts and alerts of the tables as they change, and after the
server was away goes on where it was; nothing that an event is called runs as a script."""
import http.client
import json
import math
import os
import re
import subprocess

import browser
import examples
import tap

PROGRAM = os.path.join(tap.BUILD, "examples", "dashboard", "dashboard")
PAGE = os.path.join(tap.SRC, "examples", "dashboard", "dashboard.html")
EVIL = "<img src=x onerror=\"document.title='evil'\"> 'x' & \\"
START = 1_700_000_000
WINDOW = 60

site = examples.Example("analytics", ())
site.run("setup")


def start(port=0):
    """Returns the process and its port."""
    process = tap.spawn([PROGRAM, "--page", PAGE, "--port", str(port)], stdout=subprocess.PIPE, text=True,
                        env=dict(os.environ, OUTBOX_DSN=site.dsn))
    found = re.match(r"listening on http://127\.0\.0\.1:(\d+)$", process.stdout.readline())
    if not found:
        tap.bail("the dashboard does not start")
    return process, int(found.group(1))


def count(kind, second, number):
    site.sql("insert into analytics.count as c values (%s, to_timestamp(%s), 't', 0, %s)"
             " on conflict (type, at, topic, partition) do update set n = excluded.n", (kind, START + second, number))


def alert(kind, second, number=200, z=25.12):
    return site.sql("insert into analytics.alert (type, at, until, n, median, scale, z) values (%s, to_timestamp(%s),"
                    " to_timestamp(%s), %s, 40, 6.3, %s) returning id", (kind, START + second, START + second, number, z))


def request(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def messages(port, wanted, path="/events", **headers):
    """The first messages of the stream, so many: (id, event, data)."""
    response = request(port, path, **headers)
    found, message = [], {}
    while len(found) < wanted:
        line = response.readline().decode().rstrip("\n")
        if line:
            name, _, value = line.partition(":")
            message[name] = value.strip()
        else:
            if "event" in message:
                found.append((message.get("id"), message["event"], json.loads(message["data"])))
            message = {}
    response.close()
    return found


def stream(port):
    page = request(port, "/")
    policy = page.headers["Content-Security-Policy"]
    tap.is_((page.status, page.headers["X-Content-Type-Options"]), (200, "nosniff"), "the page")
    tap.like(policy, r"^default-src 'none'; connect-src 'self';", "with a policy")
    tap.ok("unsafe" not in policy and "http" not in policy, "that lets nothing in but what stands in it")
    tap.is_([request(port, p).status for p in ("/x", "/events/", "/../etc/passwd")], [404] * 3, "no other page")
    tap.is_([request(port, "/", m).status for m in ("POST", "DELETE")], [405] * 2, "no other method")
    first = messages(port, 5)
    tap.is_([(i, e) for i, e, _ in first], [("1", "alert"), ("2", "alert"), ("3", "alert"), (None, "counts"),
                                            (None, "database")],
            "the stream begins with the alerts, which have ids, and the counts")
    counts = first[3][2]
    tap.is_((counts["last"], [(t["type"], t["sum"], len(t["counts"]), t["counts"][-1]) for t in counts["types"]]),
            (START + 59, [(EVIL, 3, WINDOW, 0), ("order_placed", sum(map(usual, range(60))) + 160, WINDOW, usual(59)),
                          ("user_created", 20, WINDOW, 0)]), "the counts are those of the table")
    tap.is_([m[0] for m in messages(port, 3, Last_Event_ID="2")], ["3", None, None], "Last-Event-ID: what comes after it")
    tap.is_([m[0] for m in messages(port, 3, "/events?last=2")], ["3", None, None], "or ?last=")
    tap.is_([m[0] for m in messages(port, 3, Last_Event_ID="1; x")], ["1", "2", "3"], "what is no id is none")


def usual(second):
    return round(40 + 9 * math.sin(second * 1.3) + 4 * math.sin(second * 3.1))


def prepare():
    for second in range(60):
        count("order_placed", second, 200 if second == 40 else usual(second))
        if second % 3 == 0:
            count("user_created", second, 1)
    site.sql("update analytics.count set n = n + %s where type = 'order_placed' and at = to_timestamp(%s)",
             (usual(40) + 160 - 200, START + 40))
    count(EVIL, 30, 3)
    alert("order_placed", -600)
    alert(EVIL, 30, 3, -6.5)
    alert("order_placed", 40)


def shown(kind):
    return f"""[...document.querySelectorAll(".type")].filter(t => t.querySelector(".name").textContent === {json.dumps(kind)})
               .map(t => t.querySelector(".sum").textContent).join()"""


ALERTS = "document.querySelectorAll('#alerts li').length"
STATE = "document.getElementById('state').className"


def in_browser(process, port):
    chrome = browser.Browser()
    chrome.open(f"http://127.0.0.1:{port}/")
    tap.is_(chrome.wait(STATE, "live"), "live", "browser: the page is live")
    tap.is_((chrome.evaluate(ALERTS), chrome.evaluate(shown("user_created")), chrome.evaluate(shown(EVIL))),
            (3, "20", "3"), "browser: it has the counts and the alerts")
    tap.is_((chrome.evaluate("document.title"), chrome.evaluate("document.images.length")), ("Events, live", 0),
            "browser: what an event is called is text")
    tap.is_(chrome.evaluate("document.querySelectorAll('.unusual').length"), 2, "browser: the alerts are in the charts")
    tap.ok(chrome.evaluate("document.querySelector('svg .curve').getTotalLength() > 100"), "browser: there are curves")
    count("order_placed", 60, 41)
    wanted = f"{sum(map(usual, range(1, 60))) + 160 + 41:,}"
    tap.is_(chrome.wait(shown("order_placed"), wanted), wanted, "browser: a new bucket moves the window")
    alert("user_created", 60, 90)
    tap.is_(chrome.wait(ALERTS, 4), 4, "browser: a new alert appears")
    pictures = os.environ.get("OUTBOX_PICTURES")
    if pictures:
        chrome.screenshot(f"{pictures}/light.png")
        chrome.dark()
        chrome.screenshot(f"{pictures}/dark.png")
    away(chrome, process, port)


def away(chrome, process, port):
    """The server goes and comes back at the same port, with news."""
    tap.is_(tap.end(process), 0, "away: the server ends in order, with a page looking at it")
    tap.is_(chrome.wait(STATE, "trouble"), "trouble", "away: the page says that it has lost it")
    alert("user_created", 61, 91)
    process, _ = start(port)
    tap.is_(chrome.wait(STATE, "live"), "live", "away: and when it is back, is live by itself")
    tap.is_(chrome.wait(ALERTS, 5), 5, "away: with the alert that it had missed, and no other twice")
    database = f"alter database {site.dsn.rpartition('=')[2]} allow_connections "
    tap.sql(tap.DSN, database + "false")
    tap.sql(tap.DSN, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dashboard'")
    tap.is_(chrome.wait(STATE, "trouble"), "trouble", "away: without its database it says that, too")
    tap.sql(tap.DSN, database + "true")
    tap.is_(chrome.wait(STATE, "live"), "live", "away: and recovers")
    refused = [m for m in chrome.messages if "Content Security Policy" in m or "Uncaught" in m]
    tap.no_complaints(refused, "away: the page threw nothing, and its policy had nothing to refuse")
    # The page itself runs scripts of its own only.
    chrome.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.x = 1'}))")
    tap.is_(chrome.evaluate("window.x"), None, "a script that is not in the page does not run")
    tap.end(process)


if not browser.CHROMIUM:
    tap.bail("no chromium: dev/install-deps --tests installs it")
prepare()
running = start()
stream(running[1])
in_browser(*running)
tap.done_testing()
