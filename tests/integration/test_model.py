"""`ask` by a language model: a small server on loopback speaks the protocol of OpenAI-compatible endpoints, well and badly."""
import contextlib
import http.server
import json
import subprocess
import threading
import time
import os

import house
import page
import pytest


def says(text):
    return {'choices': [{'message': {'role': 'assistant', 'content': text}}]}


def asks(*calls):
    return {'choices': [{'message': {'role': 'assistant', 'content': None, 'tool_calls': [
        {'id': f'c{i}', 'type': 'function', 'function': {'name': name, 'arguments': args if isinstance(args, str) else json.dumps(args)}}
        for i, (name, args) in enumerate(calls)]}}]}


@contextlib.contextmanager
def model(script):
    """An endpoint that gives the answers of script, the last one for ever: objects, bytes, (status, bytes), or a function of
    the request. Gives the environment for glassbox and the list of requests seen."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
            seen.append({'path': self.path, 'key': self.headers.get('Authorization'), **body})
            answer = script[min(len(seen), len(script)) - 1]
            if callable(answer):
                answer = answer(body)
            status, answer = answer if isinstance(answer, tuple) else (200, answer)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header('Content-Length', str(len(data)))
                if status == 302:
                    self.send_header('Location', '/elsewhere')
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield {'GLASSBOX_MODEL_URL': f'http://127.0.0.1:{server.server_port}/v1', 'GLASSBOX_MODEL': 'small', 'GLASSBOX_MODEL_KEY': 'k3y'}, seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


QUESTION = 'please summarise the mood of this machine'


def test_an_answer_rests_on_queries(guest):
    def last(body):
        result = json.loads(next(m for m in reversed(body['messages']) if m['role'] == 'tool')['content'])
        rows = result['rows'] if isinstance(result, dict) else result  # a long list is cut, and says so
        return says(f"There is {[r['comm'] for r in rows if r['pid'] == 1][0]}.")
    script = [asks(('ps', {}), ('vtop', '{"address": "init_task"}')), asks(('ps', {})), last]
    with model(script) as (env, seen):
        answer = house.answer('ask', guest.name, QUESTION, env={**guest.env, **env})
    with model(script) as (env, _):
        text = house.run('ask', guest.name, 'which moods are there', env={**guest.env, **env}).stdout
    assert answer['answer'] == 'There is init.' and answer['model'] == 'small'
    assert [t['call'] for t in answer['query']['tools']] == ['ps', 'vtop', 'ps'] and any(r['comm'] == 'init' for r in answer['rows'])
    assert 'asked for by the model small' in text
    first = seen[0]
    assert first['path'] == '/v1/chat/completions' and first['key'] == 'Bearer k3y' and first['model'] == 'small'
    tools = {t['function']['name']: t['function']['parameters'] for t in first['tools']}
    assert 'ps' in tools and 'address' in tools['vtop']['required']
    assert not {'stop', 'run', 'restore', 'dump', 'learn', 'ask', 'render'} & set(tools)
    assert 'model' in {json.loads(line)['user'] for line in audit(guest)}


def audit(guest):
    path = f"{guest.env['XDG_RUNTIME_DIR']}/glassbox/{guest.name}/audit.log"
    with open(path, encoding='utf-8') as f:
        return f.readlines()


def test_off_by_default_and_only_for_what_the_parser_does_not_know(guest):
    with model([says('never')]) as (env, seen):
        answer = house.answer('ask', guest.name, 'how many processes are running?', env={**guest.env, **env})
        assert 'processes' in answer['answer']
        guest.refused('ask', QUESTION)
        house.refused('ask', guest.name, QUESTION, '--by', 'parser', env={**guest.env, **env})
        house.refused('ask', guest.name, QUESTION, '--by', 'model', env=guest.env)
        assert not seen


def test_a_model_that_looks_nothing_up_is_not_shown(guest):
    with model([says('Surely 42.')]) as (env, seen):
        said = house.refused('ask', guest.name, QUESTION, env={**guest.env, **env})
    assert 'without looking' in said and '42' not in said and len(seen) == 8


@pytest.mark.parametrize('script, words', [
    ([b'<html>'], 'JSON'), ([b''], 'JSON'), ([{'choices': []}], 'no message'), ([{'choices': 'x'}], 'no message'), ([[]], 'no message'),
    ([(500, b'{}')], '500'), ([(302, b'')], '302'), ([b'{"choices": "' + b'x' * (5 << 20) + b'"}'], 'too long'),
    ([asks(('ps', {}))], '8 rounds'), ([asks(*[('ps', {})] * 30)], '24 queries')])
def test_garbage(guest, script, words):
    with model(script) as (env, seen):
        said = house.refused('ask', guest.name, QUESTION, env={**guest.env, **env})
    assert words in said and len(seen) <= 8


def test_wrong_tools_are_told_to_the_model(guest):
    bad = [('nonsense', {}), ('stop', {}), ('ps', 'not json'), ('ps', '[]'), ('vtop', {}), ('maps', {'pid': 'x'}), ('ps', {'vm': 'other'})]
    with model([asks(*bad), says('I could not find out.')]) as (env, seen):
        answer = house.answer('ask', guest.name, QUESTION, env={**guest.env, **env})
    assert all(t['outcome'] != 'ok' for t in answer['query']['tools']) and guest.answer('status')['state'] == 'running'
    told = [json.loads(m['content']) for m in seen[1]['messages'] if m['role'] == 'tool']
    assert len(told) == len(bad) and all('error' in t for t in told)


def test_a_slow_model_ends_in_time_and_others_get_the_vm(guest):
    release = threading.Event()

    def slow(_):
        release.wait(60)
        return says('late')
    with model([slow]) as (env, seen):
        env = {**guest.env, **env, 'GLASSBOX_MODEL_TIMEOUT': '3'}
        server = page.Server(env)
        try:
            asking = threading.Thread(target=lambda: answers.append(server.ask(f'/api/v1/vms/{guest.name}/ask?by=model&question=x')))
            answers = []
            asking.start()
            while not seen:
                time.sleep(0.05)
            assert server.get(f'/api/v1/vms/{guest.name}/ps') and not answers
            asking.join()
            assert answers[0][0] == 422 and b'Timeout' in answers[0][2]
        finally:
            release.set()
            server.stop()


def test_nobody_there_and_a_broken_configuration(guest, tmp_path):
    assert 'connect' in house.refused('ask', guest.name, QUESTION, env={**guest.env, 'GLASSBOX_MODEL_URL': 'http://127.0.0.1:9/v1'})
    house.refused('ask', guest.name, QUESTION, env={**guest.env, 'GLASSBOX_MODEL_URL': 'file:///etc/passwd'})
    (tmp_path / 'glassbox').mkdir()
    config = tmp_path / 'glassbox' / 'model.json'
    for text in ('{', '[]', '{"url": "http://127.0.0.1:9", "timeout_s": 0}'):
        config.write_text(text)
        done = subprocess.run([house.GLASSBOX, 'ask', guest.name, QUESTION], env={**os.environ, **guest.env, 'XDG_CONFIG_HOME': str(tmp_path)},
                              capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done
