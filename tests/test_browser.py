"""The guard of the browser tests sees what a page of the report must not do."""

PAGES = {
    "<script src='https://example.org/x.js'></script>": "request: https://example.org/x.js",
    "<img src='http://127.0.0.1:9/x.png'>": "request: http://127.0.0.1:9/x.png",
    "<script>console.warn('odd')</script>": "console: warning: odd",
    "<script>console.error('bad')</script>": "console: error: bad",
    "<script>throw new Error('lost')</script>": "exception: lost",
    "<script>Promise.reject(new Error('late'))</script>": "exception: late",
    "<meta http-equiv='Content-Security-Policy' content=\"script-src 'self'\">"
    "<script>1</script>": "inline script violates",
    "<script src='missing.js'></script>": "net::ERR_FILE_NOT_FOUND",
}


def test_the_guard_sees_what_a_page_must_not_do(opened, tmp_path):
    path = tmp_path / "page.html"
    page = None
    for body, fault in PAGES.items():
        path.write_text(f"<!doctype html><title>x</title>{body}<p>text")
        if page is None:
            page = opened(path)
        else:
            page.reload()
        page.wait_for_timeout(50)
        assert any(fault in line for line in opened.faults), (fault, opened.faults)
        opened.faults.clear()


def test_a_page_without_faults_passes(opened, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<!doctype html><title>x</title><script>console.log('fine')</script><p>text")
    assert opened(path).inner_text("p") == "text"
