"""Unmodified SDKs through the proxy, plain and streaming: the address and the API key are all that a job changes."""

import anthropic
import openai
import pytest

REQUEST = {"model": "example", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}
PATIENCE = 30


def job_token(service):
    return service.job_token(aud=f"{service.issuer}/proxy/models")


@pytest.fixture(params=[job_token, lambda service: service.session()], ids=["job's token", "session"])
def key(request, service):
    return request.param(service)


@pytest.fixture
def address(service):
    return f"{service.url}/proxy/models"


def test_anthropic(service, address, key):
    client = anthropic.Anthropic(api_key=key, base_url=address, timeout=PATIENCE)
    answer = client.messages.with_raw_response.create(**REQUEST)
    assert answer.parse().content[0].text == "hello"
    assert int(answer.headers["x-octo-sts-remaining"]) < 10_000
    with client.messages.stream(**REQUEST) as stream:
        texts = []
        for text in stream.text_stream:
            texts.append(text)
            if len(texts) == 1:
                # The upstream writes the second half after the first has arrived here, and not before.
                service.ask("release")
    assert texts == ["hel", "lo"]


def test_openai(service, address, key):
    client = openai.OpenAI(api_key=key, base_url=f"{address}/v1", timeout=PATIENCE)
    assert client.chat.completions.create(**REQUEST).choices[0].message.content == "hello"
    texts = []
    for part in client.chat.completions.create(**REQUEST, stream=True):
        if text := part.choices[0].delta.content:
            texts.append(text)
            if len(texts) == 1:
                service.ask("release")
    assert texts == ["hel", "lo"]


def test_a_refusal_is_the_sdk_s_own_error_with_our_reason(service, address):
    client = anthropic.Anthropic(api_key=service.job_token(), base_url=address, timeout=PATIENCE)
    with pytest.raises(anthropic.PermissionDeniedError) as refused:
        client.messages.create(**REQUEST)
    assert refused.value.response.headers["x-octo-sts-error"] == "permission_denied"
    assert "audience" in str(refused.value)
    client = openai.OpenAI(api_key="sk-mine", base_url=address, timeout=PATIENCE)
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(**REQUEST)
