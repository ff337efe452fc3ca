import time, sys
sys.path.insert(0,'/work/main/tests/flow')
import test_file_order as t
def go(engine,place,name,rows):
    s=time.time(); r=t.run(engine,place,rows); print(name,len(rows),round(time.time()-s,2), r["outcome"].value_counts().rows())
def test_a(engine,place):
    for n in (1000,10000):
        go(engine,place,"chains",[t.authorize(f"c{n}-{i}") for i in range(n)]+[t.act("capture",f"c{n}-{i}",60) for i in range(n)]+[t.act("refund",f"c{n}-{i}",6) for i in range(n)])
    for n in (500,5000):
        go(engine,place,"declining",[f"sale,1000,USD,4000000000000010,12/39,d{n},,"]+[t.act("refund",f"d{n}",100) for i in range(n)])
    for n in (2000,20000):
        go(engine,place,"allowed",[f"sale,1000000000,USD,4111111111111111,12/39,al{n},,"]+[t.act("refund",f"al{n}",1) for i in range(n)])
    for n in (100,1000):
        go(engine,place,"alternating",[f"authorize,10000000,USD,4111111111111111,12/39,x{n},,"]+[x for i in range(n) for x in (t.act("capture",f"x{n}",5),t.act("refund",f"x{n}",3))])
