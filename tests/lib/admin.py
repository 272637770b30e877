"""A relay's pages for operators, as a client sees them."""
import http.client
import re

import prometheus
import tap

LISTEN = "127.0.0.1:0"


class Pages:
    """Of a relay that was started with admin_listen = LISTEN."""

    def __init__(self, process, deadline=30):
        assert process.wait_said(r"event=admin_listening address=\S+:\d+", deadline), process.log()
        self.port = int(re.search(r"event=admin_listening address=\S+:(\d+)", process.log())[1])

    def get(self, path, method="GET", body=None):
        """Status, headers and text; None if it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        except OSError:
            return None
        finally:
            connection.close()

    def health(self):
        """Status and text."""
        answer = self.get("/healthz")
        return (answer[0], answer[2]) if answer else (None, "")

    def wait_health(self, status, text="", deadline=60):
        """Waits for that status with that text in it; returns the last answer."""
        last = []

        def there():
            last[:] = self.health()
            return last[0] == status and text in last[1]

        tap.wait_until(there, deadline, 0.2)
        return tuple(last)

    def metrics(self):
        return prometheus.parse(self.get("/metrics")[2])

    def wait_metric(self, condition, deadline=30):
        """Waits until the condition holds of the page; returns the page."""
        last = []

        def there():
            last[:] = [self.metrics()]
            return condition(last[0])

        tap.wait_until(there, deadline, 0.2)
        return last[0]
